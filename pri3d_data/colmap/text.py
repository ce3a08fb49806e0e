"""COLMAP's text models: cameras.txt, images.txt, points3D.txt."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np

from pri3d_data.byte_source import ByteSource
from pri3d_data.colmap.camera import ColmapCamera
from pri3d_data.colmap.record import NO_POINT, ImageRecord, PointTable
from pri3d_data.errors import DataError


def read_cameras(path: str) -> dict[int, ColmapCamera]:
    """Cameras by their number; `DataError` where the file is broken or a camera cannot be."""
    cameras = {}
    for offset, line in _lines(path):
        words = line.split()
        if not words:
            continue
        try:
            number, model, width, height, *params = words
            cameras[int(number)] = ColmapCamera(
                model, int(width), int(height), tuple(float(value) for value in params)
            )
        except ValueError as error:
            raise DataError(f"not a camera ({error}).", file=path, offset=offset) from error
    return cameras


def read_images(path: str) -> Iterator[ImageRecord]:
    """The registered images with their observations; `DataError` where the file is broken."""
    lines = _lines(path)
    for offset, line in lines:
        # The name comes last and may hold spaces.
        words = line.split(maxsplit=9)
        if not words:
            continue
        try:
            image, *pose, camera, name = words
            if len(pose) != 7:
                raise ValueError(f"{len(words)} words where an image has 10")
            numbers = tuple(float(value) for value in pose)
            # An image without keypoints has an empty second line, which a file's end may have lost.
            _, second = next(lines, (offset, ""))
            triples = np.array(second.split(), dtype=object).reshape(-1, 3)
            # Beyond 2^53 a float64 cannot tell two points apart.
            points = np.array([int(word) for word in triples[:, 2]], dtype=np.int64)
            seen = points >= 0
            pixels = triples[seen, :2].astype(np.float64)
            record = ImageRecord(
                int(image),
                name.strip(),
                int(camera),
                numbers[:4],
                numbers[4:],
                pixels,
                points[seen].astype(np.uint64),
                offset,
            )
        except (ValueError, OverflowError) as error:
            raise DataError(f"not an image and its keypoints ({error}).", file=path, offset=offset) from error
        yield record


def read_points(path: str) -> PointTable:
    """The sparse points; `DataError` where the file is broken."""
    numbers, positions = [], []
    for offset, line in _lines(path):
        words = line.split(maxsplit=4)
        if not words:
            continue
        try:
            number, x, y, z = words[:4]
            numbers.append(int(number))
            positions.append((float(x), float(y), float(z)))
            if not 0 <= numbers[-1] < NO_POINT:
                raise ValueError(f"point number {number}")
        except ValueError as error:
            raise DataError(f"not a point ({error}).", file=path, offset=offset) from error
    return PointTable(
        np.array(numbers, dtype=np.uint64), np.array(positions, dtype=np.float64).reshape(-1, 3)
    )


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """(byte offset, text) of every line that is no comment."""
    with ByteSource(path) as source:
        data = io.BytesIO(source.read(0, source.size))
    offset = 0
    for line in data:
        if not line.lstrip().startswith(b"#"):
            yield offset, line.decode("utf-8", "surrogateescape")
        offset += len(line)
