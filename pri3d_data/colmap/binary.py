"""COLMAP's binary models: cameras.bin, images.bin, points3D.bin, of any version.

Newer versions write rigs.bin and frames.bin beside them; each image still carries its own pose, so the three
files are enough.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.colmap.camera import MODEL_NAMES, PARAMETER_COUNTS, ColmapCamera
from pri3d_data.colmap.record import NO_POINT, ImageRecord, PointTable
from pri3d_data.compiled import kernel
from pri3d_data.errors import DataError

_CAMERA = struct.Struct("<IiQQ")
_IMAGE = struct.Struct("<I4d3dI")
_LONGEST_NAME = 4096
_OBSERVATION = np.dtype([("xy", "<f8", 2), ("point", "<u8")])
_POINT_BYTES, _TRACK_BYTES = 51, 8


def read_cameras(path: str) -> dict[int, ColmapCamera]:
    """Cameras by their number; `DataError` where the file is broken or a camera cannot be."""
    cameras = {}
    with ByteSource(path) as source:
        offset = 8
        for _ in range(_count(source, _CAMERA.size)):
            number, model, width, height = _CAMERA.unpack(source.read(offset, _CAMERA.size))
            name = MODEL_NAMES.get(model, f"number {model}")
            # Of an unknown model not even the length is known; the camera's own check says so.
            count = PARAMETER_COUNTS.get(name, 0)
            params = struct.unpack(f"<{count}d", source.read(offset + _CAMERA.size, 8 * count))
            try:
                cameras[number] = ColmapCamera(name, width, height, params)
            except ValueError as error:
                raise DataError(f"camera {number}: {error}.", file=path, offset=offset) from error
            offset += _CAMERA.size + 8 * count
    return cameras


def read_images(path: str) -> Iterator[ImageRecord]:
    """The registered images with their observations; `DataError` where the file is broken."""
    with ByteSource(path) as source:
        offset = 8
        for _ in range(_count(source, _IMAGE.size + 9)):
            start = offset
            head = source.read(offset, min(_IMAGE.size + _LONGEST_NAME, source.size - offset))
            end = head.find(b"\0", _IMAGE.size)
            if end < 0:
                raise DataError("an image's name does not end here.", file=path, offset=start)
            image, *pose, camera = _IMAGE.unpack_from(head)
            offset += end + 1
            (count,) = struct.unpack("<Q", source.read(offset, 8))
            offset += 8
            size = count * _OBSERVATION.itemsize
            rows = np.frombuffer(source.read(offset, size), dtype=_OBSERVATION)
            offset += size
            seen = rows[rows["point"] != NO_POINT]
            name = head[_IMAGE.size : end].decode("utf-8", "surrogateescape")
            yield ImageRecord(
                image, name, camera, tuple(pose[:4]), tuple(pose[4:]), seen["xy"], seen["point"], start
            )


def read_points(path: str) -> PointTable:
    """The sparse points; `DataError` where the file is broken."""
    with ByteSource(path) as source:
        count = _count(source, _POINT_BYTES)
        data = np.frombuffer(source.read(0, source.size), dtype=np.uint8)
    kept = np.empty((count, 32), dtype=np.uint8)
    end = _gather(data, kept)
    if end < 0:
        raise DataError(
            f"a point's track goes beyond the file's {len(data)} bytes.",
            file=path,
            offset=-end,
            remedy="It is truncated: fetch it again.",
        )
    return PointTable(kept[:, :8].copy().view("<u8").ravel(), kept[:, 8:].copy().view("<f8").reshape(-1, 3))


@kernel
def _gather(data: NDArray[np.uint8], kept: NDArray[np.uint8]) -> int:
    """Copy id and position of each record; -offset of the first that does not fit, else the end."""
    at = 8
    for row in range(kept.shape[0]):
        if at + 51 > data.shape[0]:
            return -at
        for byte in range(32):
            kept[row, byte] = data[at + byte]
        track = np.uint64(0)
        for byte in range(8):
            track |= np.uint64(data[at + 43 + byte]) << np.uint64(8 * byte)
        if track > np.uint64((data.shape[0] - at - 51) // 8):
            return -at
        at += 51 + 8 * np.int64(track)  # type: ignore[assignment]
    return at


def _count(source: ByteSource, least: int) -> int:
    (count,) = struct.unpack("<Q", source.read(0, 8))
    if count * least > source.size - 8:
        raise DataError(
            f"{count} records are announced, more than its {source.size} bytes can hold.",
            file=source.path,
            offset=0,
            remedy="It is truncated or no COLMAP file: fetch it again.",
        )
    return int(count)
