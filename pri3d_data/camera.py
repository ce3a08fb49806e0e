"""Pinhole cameras: what a pixel coordinate means, and how it changes when an image is resized.

Axes are OpenCV's (x right, y down, z forward), pixel centres lie at integer coordinates, so an image of
width w covers [-0.5, w - 0.5].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Camera:
    """Size and intrinsics of one image.

    Attributes:
        width, height: pixels.
        fx, fy, cx, cy: focal lengths and principal point in pixels, integer coordinates at pixel centres.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def from_matrix(cls, matrix: NDArray[np.floating], width: int, height: int) -> Camera:
        """Camera from a 3×3 or 4×4 intrinsic matrix."""
        k = np.asarray(matrix, dtype=np.float64)
        return cls(int(width), int(height), float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))

    @property
    def vector(self) -> NDArray[np.float64]:
        """(fx, fy, cx, cy), float64: the form kernels take."""
        return np.array([self.fx, self.fy, self.cx, self.cy], dtype=np.float64)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) float64 intrinsic matrix."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def resized(self, width: int, height: int) -> Camera:
        """The camera of this image after area-filtered resizing: image borders stay where they are."""
        sx, sy = width / self.width, height / self.height
        return Camera(
            width, height, self.fx * sx, self.fy * sy, (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        )

    def subsampled(self, width: int, height: int) -> Camera:
        """The camera of this image after nearest-pixel resizing (`images.resize_nearest`).

        Output pixel i is source pixel floor((i + 0.5) · s), s = source / output. For whole s that is
        s·i + floor(s / 2), which these intrinsics reproduce exactly; otherwise the source pixel's centre is
        within half a source pixel of where they say.
        """
        sx, sy = self.width / width, self.height / height
        offset_x = sx // 2 if float(sx).is_integer() else (sx - 1) / 2
        offset_y = sy // 2 if float(sy).is_integer() else (sy - 1) / 2
        return Camera(
            width, height, self.fx / sx, self.fy / sy, (self.cx - offset_x) / sx, (self.cy - offset_y) / sy
        )
