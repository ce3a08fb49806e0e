"""Points sorted into small cells: the order that makes exact neighbour counting cheap.

A cell's side is radius / √3, so any two points of one cell are within the radius of each other, and a point's
neighbours within the radius lie at most two cells away along each axis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import kernel

# A hair below 1/√3: rounding a coordinate into its cell can never bring together what lies farther apart.
SIDE_OF_RADIUS = (1.0 - 1e-6) / np.sqrt(3.0)
REACH = 2


@kernel
def cell_columns(points: NDArray[np.float32], low: NDArray[np.float64], side: float) -> NDArray[np.int32]:
    """(N,) int32 cell index of every point along x, counted from ``low``."""
    columns = np.empty(len(points), dtype=np.int32)
    inverse = 1.0 / side
    for i in range(len(points)):
        columns[i] = np.int32(np.floor((points[i, 0] - low[0]) * inverse))
    return columns


@kernel
def cell_keys(
    points: NDArray[np.float32],
    low: NDArray[np.float64],
    side: float,
    first: NDArray[np.int64],
    shape: NDArray[np.int64],
) -> NDArray[np.int64]:
    """(N,) int64 row-major cell number of every point in a grid of ``shape`` cells.

    Cells are the ones `cell_columns` counts from ``low``, the grid starts at their number ``first``: shifting
    by whole numbers after the division keeps a point on a border in the same cell whatever the grid.
    """
    keys = np.empty(len(points), dtype=np.int64)
    inverse = 1.0 / side
    for i in range(len(points)):
        x = np.int64(np.floor((points[i, 0] - low[0]) * inverse)) - first[0]
        y = np.int64(np.floor((points[i, 1] - low[1]) * inverse)) - first[1]
        z = np.int64(np.floor((points[i, 2] - low[2]) * inverse)) - first[2]
        keys[i] = (x * shape[1] + y) * shape[2] + z
    return keys


@kernel
def stable_order(keys: NDArray[np.int64], largest: int) -> NDArray[np.int32]:
    """Stable sorting order of non-negative keys not above ``largest``: radix sort, 11 bits a pass.

    Returns:
        (N,) int32 positions, so that ``keys[order]`` ascends and equal keys keep their order.
    """
    count = len(keys)
    order = np.arange(count).astype(np.int32)
    spare = np.empty(count, dtype=np.int32)
    here = keys.copy()
    there = np.empty(count, dtype=np.int64)
    starts = np.empty(2049, dtype=np.int64)
    shift = 0
    while (largest >> shift) > 0:
        starts[:] = 0
        for i in range(count):
            starts[((here[i] >> shift) & 2047) + 1] += 1
        for digit in range(2048):
            starts[digit + 1] += starts[digit]
        for i in range(count):
            digit = (here[i] >> shift) & 2047
            to = starts[digit]
            starts[digit] = to + 1
            there[to] = here[i]
            spare[to] = order[i]
        here, there = there, here
        order, spare = spare, order
        shift += 11
    return order
