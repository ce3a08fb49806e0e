"""Depth of any unit as the 16-bit steps it is stored in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEPS = 65_535


def depth_steps(depth: NDArray[np.floating]) -> tuple[NDArray[np.uint16], float]:
    """Steps of an image's depth, as fine as its farthest point allows.

    A step is 1/65,535 of the farthest depth, so depth is off by at most half of that; what is nearer than
    half a step counts as not measured.

    Args:
        depth: (H, W) distances along the camera's axis in any unit; measured where finite and positive.

    Returns:
        (H, W) uint16 steps, 0 where nothing was measured, and the depth that a step stands for, 1.0 where
        nothing was measured at all.
    """
    measured = np.isfinite(depth) & (depth > 0)
    if not measured.any():
        return np.zeros(depth.shape, dtype=np.uint16), 1.0
    unit = float(depth[measured].max()) / _STEPS
    steps = np.zeros(depth.shape, dtype=np.uint16)
    steps[measured] = np.rint(depth[measured].astype(np.float64) / unit)
    return steps, unit
