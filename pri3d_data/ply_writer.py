"""Writing a coloured triangle mesh in the binary PLY layout of ScanNet's ``_vh_clean_2.ply``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pri3d_data.atomic_file import atomic_file
from pri3d_data.errors import UsageError

VERTEX = np.dtype([("position", "<f4", 3), ("color", "u1", 4)])
FACE = np.dtype([("count", "u1"), ("indices", "<i4", 3)])


def write_ply_mesh(
    path: Path,
    vertices_world: NDArray[np.floating],
    colors: NDArray[np.uint8],
    faces: NDArray[np.integer],
    comment: str = "pri3d_data",
) -> None:
    """Write a mesh; the file appears whole or not at all.

    Args:
        path: the file to write; its folder is made.
        vertices_world: (N, 3), metres, stored as float32.
        colors: (N, 3) RGB or (N, 4) RGBA uint8; opaque where alpha is not given.
        faces: (M, 3) vertex indices, counter-clockwise seen from outside.
        comment: one line for the header.

    Raises:
        UsageError: shapes do not fit together, or an index names no vertex.
        StorageError: the file cannot be written.
    """
    count = len(vertices_world)
    if vertices_world.shape != (count, 3) or colors.shape not in ((count, 3), (count, 4)):
        raise UsageError(
            f"{path}: vertices {vertices_world.shape} and colours {colors.shape} do not fit. "
            "Give (N, 3) and (N, 3 or 4)."
        )
    if faces.ndim != 2 or faces.shape[1] != 3 or (faces.size and (faces.min() < 0 or faces.max() >= count)):
        raise UsageError(
            f"{path}: faces {faces.shape} must be (M, 3) indices of {count} vertices. Check the mesh."
        )
    vertex_rows = np.empty(count, VERTEX)
    vertex_rows["position"] = vertices_world
    vertex_rows["color"][:, 3] = 255
    vertex_rows["color"][:, : colors.shape[1]] = colors
    face_rows = np.empty(len(faces), FACE)
    face_rows["count"] = 3
    face_rows["indices"] = faces
    with atomic_file(path) as file:
        file.write(_header(count, len(faces), comment))
        file.write(vertex_rows.tobytes())
        file.write(face_rows.tobytes())


def _header(vertices: int, faces: int, comment: str) -> bytes:
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {comment}",
        f"element vertex {vertices}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue", "alpha")),
        f"element face {faces}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return ("\n".join(lines) + "\n").encode()
