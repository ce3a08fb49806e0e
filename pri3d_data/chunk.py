"""Chunks: the voxels of a scene that belong to one frame (paper, section 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import inline_kernel, kernel


@kernel
def crop_chunk(
    voxels: NDArray[np.int32], colors: NDArray[np.uint8], voxel_m: float, box_m: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """The voxels whose centre lies in a frame's chunk box, borders included.

    Args:
        voxels: (V, 3) int32 in lexicographic order; voxel (i, j, k) has its centre at
            (i + ½, j + ½, k + ½) · voxel_m of the world.
        colors: (V, 3) uint8 RGB.
        voxel_m: edge of a voxel in metres.
        box_m: (2, 3) float64, lowest and highest world corner in metres.

    Returns:
        (C, 3) int32 and (C, 3) uint8: those voxels and their colours, in the order they came.
    """
    # The order makes the voxels between the box's two x faces one run; only y and z need a look at each.
    start = _first_at_least(voxels, voxel_m, box_m[0, 0])
    end = _first_above(voxels, voxel_m, box_m[1, 0])
    rows = np.empty(max(end - start, 0), dtype=np.int32)
    count = 0
    for row in range(start, end):
        y = (voxels[row, 1] + 0.5) * voxel_m
        z = (voxels[row, 2] + 0.5) * voxel_m
        rows[count] = row
        # Counted without a branch: whether a voxel is inside changes too often to be guessed.
        count += (y >= box_m[0, 1]) & (y <= box_m[1, 1]) & (z >= box_m[0, 2]) & (z <= box_m[1, 2])
    inside = np.empty((count, 3), dtype=np.int32)
    inside_colors = np.empty((count, 3), dtype=np.uint8)
    for to in range(count):
        row = rows[to]
        for axis in range(3):
            inside[to, axis] = voxels[row, axis]
            inside_colors[to, axis] = colors[row, axis]
    return inside, inside_colors


@inline_kernel
def _first_at_least(voxels: NDArray[np.int32], voxel_m: float, x: float) -> int:
    low, high = 0, len(voxels)
    while low < high:
        middle = (low + high) >> 1
        if (voxels[middle, 0] + 0.5) * voxel_m < x:
            low = middle + 1
        else:
            high = middle
    return low


@inline_kernel
def _first_above(voxels: NDArray[np.int32], voxel_m: float, x: float) -> int:
    low, high = 0, len(voxels)
    while low < high:
        middle = (low + high) >> 1
        if (voxels[middle, 0] + 0.5) * voxel_m <= x:
            low = middle + 1
        else:
            high = middle
    return low
