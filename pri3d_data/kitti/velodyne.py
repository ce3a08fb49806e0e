"""Velodyne scans as KITTI stores them: x y z reflectance as four little-endian float32, nothing else."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.camera import Camera
from pri3d_data.errors import DataError

_POINT_BYTES = 16
_BEAMS_APART_DEG, _TURNS_APART_DEG = 0.5, 1.0 / 6.0
# A turn of the scanner gives some 120 000 points.
_MOST_POINTS = 4_000_000


def read_scan(path: str, frame: int) -> NDArray[np.float32]:
    """The points of one ``velodyne_points/data/<frame>.bin``.

    Returns:
        (N, 4) float32: x forward, y left, z up in metres in the scanner's frame, and reflectance.

    Raises:
        DataError: the file is missing, empty, far too large, or ends within a point.
    """
    with ByteSource(path) as source:
        size = source.size
        if size == 0:
            raise DataError("the scan is empty.", file=path, frame=frame)
        if size % _POINT_BYTES:
            whole = size // _POINT_BYTES * _POINT_BYTES
            raise DataError(
                f"the scan is cut within a point: {size} bytes are no multiple of {_POINT_BYTES}.",
                file=path,
                offset=whole,
                frame=frame,
                remedy="Fetch it again.",
            )
        if size > _MOST_POINTS * _POINT_BYTES:
            raise DataError(f"{size} bytes are more than a scan can have.", file=path, frame=frame)
        data = source.read(0, size)
    return np.frombuffer(data, dtype="<f4").reshape(-1, 4)


def spacing_px(camera: Camera) -> tuple[int, int]:
    """How far apart a scan's neighbouring rows and columns lie in a camera's image, whole pixels.

    Beams are up to half a degree apart, the turns of a beam a sixth: 6 and 2 pixels in KITTI's images.
    """
    return (
        max(1, round(math.radians(_BEAMS_APART_DEG) * camera.fy)),
        max(1, round(math.radians(_TURNS_APART_DEG) * camera.fx)),
    )
