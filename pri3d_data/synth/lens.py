"""A photographer's lens: radial distortion as COLMAP's SIMPLE_RADIAL describes it, done and undone exactly.

Written from the formula and not with COLMAP's code, so that the one can be held against the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.colmap.camera import ColmapCamera

_NEWTON_STEPS = 20


def project(camera: ColmapCamera, points_camera: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) float64 pixels, centres at integers, of (N, 3) float64 points in front of the camera."""
    f, cx, cy, k = camera.params
    plane = points_camera[:, :2] / points_camera[:, 2:]
    plane = plane * (1.0 + k * (plane**2).sum(axis=1, keepdims=True))
    pixels: NDArray[np.float64] = f * plane + np.array([cx, cy]) - 0.5
    return pixels


def rays(camera: ColmapCamera, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) float64 points of the plane z = 1 that fall on (N, 2) float64 pixels, by Newton's method."""
    f, cx, cy, k = camera.params
    bent = (pixels + 0.5 - np.array([cx, cy])) / f
    far = np.sqrt((bent**2).sum(axis=1))
    radius = far.copy()
    for _ in range(_NEWTON_STEPS):
        radius -= (radius * (1.0 + k * radius**2) - far) / (1.0 + 3.0 * k * radius**2)
    straight: NDArray[np.float64] = bent * (radius / np.where(far > 0, far, 1.0))[:, None]
    return straight


def pixel_grid(width: int, height: int) -> NDArray[np.float64]:
    """(width · height, 2) float64 x, y of an image's pixels, row by row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64)
