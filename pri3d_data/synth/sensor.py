"""What a real sensor makes of the true image: rounding, noise, and places where nothing is measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEEPEST = 5.0
_BLOBS = 4


def quantised_depth(depth_m: NDArray[np.float64], steps_per_m: float = 1000.0) -> NDArray[np.uint16]:
    """Depth rounded to the nearest step; 0 (nothing measured) where 16 bits cannot hold it.

    Args:
        depth_m: (H, W) float64 metres. steps_per_m: 1000 stores millimetres.
    """
    steps = np.rint(depth_m * steps_per_m)
    held = (steps > 0.0) & (steps <= 65535.0)
    return np.where(held, steps, 0.0).astype(np.uint16)


def noisy_depth(depth_m: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Depth with Gaussian noise that grows with the square of the distance: 2 mm near, about 14 mm at 3 m."""
    sigma_m = 0.0015 + 0.0019 * (depth_m - 0.4) ** 2
    return depth_m + sigma_m * rng.standard_normal(depth_m.shape)


def noisy_color(rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 colour with Gaussian noise of 2.5 grey levels."""
    noise = 2.5 * rng.standard_normal(rgb.shape, dtype=np.float32)
    return np.clip(np.rint(rgb + noise), 0, 255).astype(np.uint8)


def hole_mask(depth_m: NDArray[np.float64], fx: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where a structured-light sensor would measure nothing.

    Args:
        depth_m: (H, W) float64 true depth, metres.
        fx: focal length of the depth camera, pixels.

    Returns:
        (H, W) bool: True at depth edges, on surfaces seen at a grazing angle, and in a few random blobs.
    """
    jump = np.zeros_like(depth_m)
    for axis in (0, 1):
        step = np.abs(np.diff(depth_m, axis=axis))
        before = tuple(slice(None, -1) if k == axis else slice(None) for k in range(2))
        after = tuple(slice(1, None) if k == axis else slice(None) for k in range(2))
        jump[before] = np.maximum(jump[before], step)
        jump[after] = np.maximum(jump[after], step)
    holes: NDArray[np.bool_] = jump * fx > _STEEPEST * depth_m
    height, width = depth_m.shape
    rows, columns = np.arange(height)[:, None] / height, np.arange(width)[None, :] / width
    for _ in range(int(rng.integers(_BLOBS + 1))):
        y, x = rng.uniform(0.0, 1.0, 2)
        radius_y, radius_x = rng.uniform(0.02, 0.09, 2)
        holes |= ((rows - y) / radius_y) ** 2 + ((columns - x) / radius_x) ** 2 < 1.0
    return holes
