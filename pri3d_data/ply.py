"""Coloured vertices of a binary PLY mesh, as ScanNet's `_vh_clean_2.ply` stores them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.capture import Surface
from pri3d_data.errors import DataError

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_LONGEST_HEADER = 65_536


def read_ply_vertices(path: str) -> Surface:
    """Vertex positions and colours of a PLY file; faces are not read.

    Args:
        path: local path or URL of a binary PLY whose first element is ``vertex`` with x, y, z and, if it has
            them, red, green, blue.

    Returns:
        The vertices as (N, 3) float32 in the file's units and (N, 3) uint8 RGB, mid-grey where the file has
        no colours.

    Raises:
        DataError: not a PLY, ASCII, no vertices, vertices beyond the end of the file, or values that are not
            numbers.
    """
    with ByteSource(path) as source:
        head = source.read(0, min(source.size, _LONGEST_HEADER))
        end = head.find(b"end_header\n")
        if not head.startswith(b"ply") or end < 0:
            raise DataError("has no PLY header.", file=path, offset=0, remedy="Fetch the mesh again.")
        dtype, count = _vertex_layout(head[:end].decode("ascii", errors="replace"), path)
        start = end + len(b"end_header\n")
        vertices = np.frombuffer(source.read(start, dtype.itemsize * count), dtype=dtype)
    points = np.stack([vertices["x"], vertices["y"], vertices["z"]], axis=1).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        offset = start + int(bad[0]) * dtype.itemsize
        raise DataError(f"vertex {bad[0]} is not a number.", file=path, offset=offset)
    colors: NDArray[np.uint8]
    if {"red", "green", "blue"} <= set(dtype.names or ()):
        colors = np.stack([vertices["red"], vertices["green"], vertices["blue"]], axis=1).astype(np.uint8)
    else:
        colors = np.full((count, 3), 128, dtype=np.uint8)
    return Surface(points, colors)


def _vertex_layout(header: str, path: str) -> tuple[np.dtype[np.void], int]:
    order, count, element = "", 0, ""
    fields: list[tuple[str, str]] = []
    for line in header.splitlines():
        words = line.split()
        if words[:1] == ["format"] and len(words) > 1:
            order = {"binary_little_endian": "<", "binary_big_endian": ">"}.get(words[1], "")
        elif words[:1] == ["element"] and len(words) == 3:
            if element and not fields:
                raise DataError("its first element is not 'vertex'.", file=path)
            if element == "vertex":
                break
            element = words[1]
            if element == "vertex" and words[2].isdigit() and len(words[2]) < 20:
                count = int(words[2])
        elif words[:1] == ["property"] and element == "vertex":
            if len(words) != 3 or words[1] not in _TYPES:
                raise DataError(f"has a vertex property that cannot be read: '{line.strip()}'.", file=path)
            fields.append((words[2], order + _TYPES[words[1]]))
    if not order:
        raise DataError("is not binary.", file=path, remedy="Convert it to binary PLY.")
    names = [name for name, _ in fields]
    if count == 0 or not {"x", "y", "z"} <= set(names) or len(set(names)) != len(names):
        raise DataError("holds no vertices with x, y and z.", file=path)
    return np.dtype(fields), count
