"""Depth images to points: the pinhole model read backwards (paper, section 3.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import kernel


@kernel
def backproject(
    depth: NDArray[np.uint16],
    depth_unit_m: float,
    camera: NDArray[np.float64],
    depth_to_world: NDArray[np.float64],
    origin_world: NDArray[np.float64],
) -> NDArray[np.float32]:
    """World points of every measured pixel, row by row.

    Args:
        depth: (H, W) uint16, 0 where nothing was measured.
        depth_unit_m: metres a step of ``depth`` stands for.
        camera: (4,) float64 fx, fy, cx, cy in pixels.
        depth_to_world: (4, 4) float64.
        origin_world: (3,) float64, subtracted before rounding to float32, so that a millimetre survives
            kilometres from the world's zero.

    Returns:
        (N, 3) float32 metres relative to ``origin_world``; N = number of measured pixels.
    """
    height, width = depth.shape
    count = 0
    for row in range(height):
        for column in range(width):
            if depth[row, column] != 0:
                count += 1
    points = np.empty((count, 3), dtype=np.float32)
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    t0 = depth_to_world[0, 3] - origin_world[0]
    t1 = depth_to_world[1, 3] - origin_world[1]
    t2 = depth_to_world[2, 3] - origin_world[2]
    at = 0
    for row in range(height):
        y_over_z = (row - cy) / fy
        for column in range(width):
            if depth[row, column] != 0:
                z = depth[row, column] * depth_unit_m
                x = (column - cx) / fx * z
                y = y_over_z * z
                for axis in range(3):
                    shift = t0 if axis == 0 else (t1 if axis == 1 else t2)
                    points[at, axis] = (
                        depth_to_world[axis, 0] * x
                        + depth_to_world[axis, 1] * y
                        + depth_to_world[axis, 2] * z
                        + shift
                    )
                at += 1
    return points
