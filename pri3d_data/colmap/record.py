"""What one record of a COLMAP model says, whether it was written in binary or as text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# The point number of a keypoint that belongs to no point.
NO_POINT = np.uint64(2**64 - 1)


class ImageRecord(NamedTuple):
    """A registered image.

    Attributes:
        image: its number.
        name: file name relative to the image folder.
        camera: its camera's number.
        rotation: quaternion w, x, y, z, world to camera. translation: world to camera.
        pixels: (K, 2) float64 x, y of keypoints that belong to a point, in COLMAP's pixels.
        points: (K,) uint64 numbers of those points.
        offset: byte at which the record starts.
    """

    image: int
    name: str
    camera: int
    rotation: tuple[float, ...]
    translation: tuple[float, ...]
    pixels: NDArray[np.float64]
    points: NDArray[np.uint64]
    offset: int


class PointTable(NamedTuple):
    """The sparse points.

    Attributes:
        points: (P,) uint64 numbers.
        positions_world: (P, 3) float64, in the scene's own unit.
    """

    points: NDArray[np.uint64]
    positions_world: NDArray[np.float64]
