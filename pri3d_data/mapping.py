"""Pixels of one sparse depth image that have their match in another, by the poses and the other's depth.

The match of a measured pixel is where its point projects in the other image; the other's depth only says
whether the point is seen there or something stands before it. So a mapping is one bit a measured pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import kernel
from pri3d_data.matches import between


class SparseView(NamedTuple):
    """What mapping needs of one frame.

    Attributes:
        points_m: (N, 3) float64 points of the measured pixels in the camera's axes, row by row.
        counted: (N,) bool: the points that overlap is counted on.
        surface: (H, W) uint16 depth that other frames' points are compared with, 0 where unknown.
        depth_unit_m: metres a step of ``surface`` stands for.
        camera: (4,) float64 fx, fy, cx, cy.
        camera_to_world: (4, 4) float64.
    """

    points_m: NDArray[np.float64]
    counted: NDArray[np.bool_]
    surface: NDArray[np.uint16]
    depth_unit_m: float
    camera: NDArray[np.float64]
    camera_to_world: NDArray[np.float64]


@kernel
def measured_points(
    depth: NDArray[np.uint16], depth_unit_m: float, camera: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N, 3) float64 points of the measured pixels in the camera's axes, metres, row by row."""
    points = np.empty((np.count_nonzero(depth), 3))
    at = 0
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            if depth[v, u] != 0:
                z = depth[v, u] * depth_unit_m
                points[at, 0] = (u - camera[2]) / camera[0] * z
                points[at, 1] = (v - camera[3]) / camera[1] * z
                points[at, 2] = z
                at += 1
    return points


@kernel
def seen_in(a: SparseView, b: SparseView, tolerance_m: float, truncate: bool) -> NDArray[np.bool_]:
    """Which of a's measured pixels have a match in b.

    Args:
        a, b: the frames.
        tolerance_m: the point is seen where b's surface is no farther than this from its depth in b.
        truncate: take the pixel left of and above the projected point, as the authors do, not the nearest.

    Returns:
        (N,) bool in the order of ``a.points_m``.
    """
    height, width = b.surface.shape
    seen = np.zeros(len(a.points_m), dtype=np.bool_)
    m = between(a.camera_to_world, b.camera_to_world)
    for i in range(len(a.points_m)):
        x, y, z = a.points_m[i, 0], a.points_m[i, 1], a.points_m[i, 2]
        depth_m = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        if not depth_m > 0.0:
            continue
        u = b.camera[0] * (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) / depth_m + b.camera[2]
        v = b.camera[1] * (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) / depth_m + b.camera[3]
        u, v = (np.trunc(u), np.trunc(v)) if truncate else (np.floor(u + 0.5), np.floor(v + 0.5))
        if not (u >= 0.0 and v >= 0.0 and u < width and v < height):
            continue
        there = b.surface[int(v), int(u)]
        seen[i] = there != 0 and abs(there * b.depth_unit_m - depth_m) < tolerance_m
    return seen


def common_share(matched_a: int, matched_b: int, points_a: int, points_b: int) -> float:
    """Matches over all points of two frames, a match counted once: m / (n_a + n_b - m), in [0, 1].

    The same point may match from both sides a different number of times, so m is the mean of the two.
    """
    matched = (matched_a + matched_b) / 2.0
    together = points_a + points_b - matched
    return min(1.0, matched / together) if together > 0.0 else 0.0
