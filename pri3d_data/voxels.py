"""Points on a grid: a surface as occupied voxels, a cloud as voxel means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BITS = 21
_HALF = 1 << (_BITS - 1)


def occupied_voxels(
    points_world: NDArray[np.floating], colors: NDArray[np.uint8], voxel_m: float
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """The voxels a coloured surface occupies (paper, section 3.2), each once, in lexicographic order.

    Args:
        points_world: (N, 3) metres.
        colors: (N, 3) uint8 RGB.
        voxel_m: edge of a voxel in metres.

    Returns:
        (V, 3) int32 grid coordinates floor(point / voxel_m), so that voxel (i, j, k) spans
        [i, i + 1) · voxel_m …, and (V, 3) uint8 mean colour of the points inside, halves rounded up.

    Raises:
        ValueError: a point lies more than 2^20 voxels from the world's zero.
    """
    grid = np.floor(points_world.astype(np.float64) / voxel_m)
    if points_world.size and not np.abs(grid).max() < _HALF:
        raise ValueError(f"a point lies {np.abs(grid).max() * voxel_m:.0f} m from the world's zero")
    cells, inverse, counts = _unique_cells(grid.astype(np.int64))
    means = _means(colors.astype(np.float64), inverse, counts)
    return cells.astype(np.int32), np.floor(means + 0.5).astype(np.uint8)


def voxel_means(points: NDArray[np.float32], voxel_m: float) -> NDArray[np.float32]:
    """One point a voxel, the mean of those inside: the thinning the authors' overlap script does.

    The grid starts half a voxel below the cloud's lowest corner, as Open3D's does.

    Args:
        points: (N, 3) float32 metres.
        voxel_m: edge of a voxel in metres.

    Returns:
        (M, 3) float32, M ≤ N, in lexicographic order of the voxels.

    Raises:
        ValueError: the cloud spans more than 2^20 voxels along an axis.
    """
    if len(points) == 0:
        return points
    exact = points.astype(np.float64)
    grid = np.floor((exact - (exact.min(axis=0) - 0.5 * voxel_m)) / voxel_m)
    if not grid.max() < _HALF:
        raise ValueError(f"the cloud spans {grid.max() * voxel_m:.0f} m")
    _, inverse, counts = _unique_cells(grid.astype(np.int64))
    return _means(exact, inverse, counts).astype(np.float32)


def _unique_cells(
    grid: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.intp]]:
    shifted = grid + _HALF
    keys = (shifted[:, 0] << (2 * _BITS)) | (shifted[:, 1] << _BITS) | shifted[:, 2]
    unique, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    mask = (1 << _BITS) - 1
    cells = np.stack([unique >> (2 * _BITS), (unique >> _BITS) & mask, unique & mask], axis=1) - _HALF
    return cells, inverse.reshape(-1), counts


def _means(
    values: NDArray[np.float64], inverse: NDArray[np.intp], counts: NDArray[np.intp]
) -> NDArray[np.float64]:
    sums = [np.bincount(inverse, weights=values[:, axis], minlength=len(counts)) for axis in range(3)]
    return np.stack(sums, axis=1) / counts[:, None]
