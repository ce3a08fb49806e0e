"""How much two frames see of the same surface: exact point counts for all pairs of a scene at once.

The paper (section 3.1) calls a pair overlapping where at least 30 % of the two frames' points have a point of
the other frame within 2 cm. Asking a KD-tree for every ordered pair costs weeks on ScanNet. Here all points
of all frames are sorted into cells once, and most matches are settled for whole groups of points
(`cell_matches`). All counts equal brute force in float64 over the same points; docs/overlap.md says why.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pri3d_data.block_finding import find_blocks
from pri3d_data.cell_groups import group_bytes, group_points
from pri3d_data.cell_matches import count_matches
from pri3d_data.cell_neighbours import window_steps
from pri3d_data.cells import BLOCK_SHIFT, CellGrid, cell_grid
from pri3d_data.compiled import kernel
from pri3d_data.point_tests import Radius, squared_radius
from pri3d_data.subcell_reach import subcell_reach

# What all slabs in work may take at once, beside copies of their points. A point of a dense scan takes 40
# bytes, one that is alone in its block more than 100, but that shows only once the blocks are found.
_WORK_BYTES = 512 * 2**20
_BYTES_A_POINT = 48
_MOST_SAMPLED = 1 << 20


def match_counts(
    points: NDArray[np.float32],
    starts: NDArray[np.int64],
    radius_m: float,
    tile_points: int | None = None,
    threads: int = 1,
) -> NDArray[np.int64]:
    """For every ordered pair of frames, how many points of one have a point of the other within the radius.

    Args:
        points: (N, 3) float32 metres, frame after frame.
        starts: (F + 1,) int64; frame f holds ``points[starts[f]:starts[f + 1]]``.
        radius_m: a distance equal to the radius counts.
        tile_points: the scene is cut into slabs of about this many points; by default of so many that all
            together take some 0.6 GiB beside the points themselves.
        threads: how many slabs to work on at once.

    Returns:
        (F, F) int64; ``[a, b]`` counts the points of a that have a point of b within the radius. The diagonal
        is each frame's number of points.

    Raises:
        ValueError: the radius is no positive number; or the points are not finite or span more than 2^31
            subcells along an axis or 2^62 blocks in all: broken poses.
    """
    frames = len(starts) - 1
    counts = np.zeros((frames, frames), dtype=np.int64)
    if len(points):
        grid = cell_grid(points, radius_m)
        radius = squared_radius(radius_m)
        axis = int(np.argmax(grid.blocks))
        budget = _WORK_BYTES // threads
        tile_points = tile_points or min(budget // _BYTES_A_POINT, -(-len(points) // threads))
        slabs = _slabs(points, grid, axis, tile_points)

        def count(slab: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            return _count_slab(points, starts, grid, radius, axis, *slab, budget)

        # A pool starts its threads when it is given work.
        with ThreadPoolExecutor(threads) as pool:
            for present, part in map(count, slabs) if threads == 1 else pool.map(count, slabs):
                counts[np.ix_(present, present)] += part
    np.fill_diagonal(counts, np.diff(starts))
    return counts


def _slabs(points: NDArray[np.float32], grid: CellGrid, axis: int, tile_points: int) -> list[tuple[int, int]]:
    """First and last (excluded) block along the axis of slabs that hold about as many points each."""
    wanted = -(-len(points) // tile_points)
    if wanted == 1:
        return [(0, int(grid.blocks[axis]))]
    sample = points[:: -(-len(points) // _MOST_SAMPLED), axis]
    columns = np.sort(grid.block_columns(sample, axis))
    cuts = np.unique(columns[np.arange(1, wanted) * len(columns) // wanted])
    bounds = [0, *cuts[cuts > 0].tolist(), int(grid.blocks[axis])]
    return list(pairwise(bounds))


def _count_slab(
    points: NDArray[np.float32],
    starts: NDArray[np.int64],
    grid: CellGrid,
    radius: Radius,
    axis: int,
    first: int,
    last: int,
    budget: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frames with points in or beside the slab, and their counts of points in it."""
    if (first, last) != (0, grid.blocks[axis]):
        points, starts = _points_between(points, starts, axis, grid.low[axis], grid.inverse, first - 1, last)
    present = np.flatnonzero(np.diff(starts))
    counts = np.zeros((len(present), len(present)), dtype=np.int64)
    starts = np.concatenate([starts[:1], starts[1:][present]])
    places, blocks = find_blocks(points, grid)
    shape = grid.blocks + 2
    column = blocks.key // np.prod(shape[axis + 1 :]) % shape[axis] - 1
    middle = int(np.median(column)) if len(column) else first
    if group_bytes(len(points), len(present), blocks) > budget and first < middle < last:
        del places, blocks, column
        for half in ((first, middle), (middle, last)):
            found, part = _count_slab(points, starts, grid, radius, axis, *half, budget)
            counts[np.ix_(found, found)] += part
        return present, counts
    groups = group_points(points, starts, places, blocks)
    del places
    owned = (column >= first) & (column < last)
    reach = subcell_reach()
    steps = window_steps(reach.offset)
    tables = (owned, shape, steps, reach.sure, reach.possible)
    arguments: tuple[Any, ...] = (*blocks, *groups, *tables, *radius, len(present))
    return present, count_matches(*arguments)


@kernel
def _points_between(
    points: NDArray[np.float32],
    starts: NDArray[np.int64],
    axis: int,
    low: float,
    inverse: float,
    first: int,
    last: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A copy of the points in blocks ``first`` to ``last``, both included, and where their frames start."""
    # Of memory that is never written to, the machine gives none.
    inside = np.empty((len(points) + 1, 3), dtype=np.float32)
    inside_starts = np.zeros(len(starts), dtype=np.int64)
    found = 0
    for frame in range(len(starts) - 1):
        for i in range(starts[frame], starts[frame + 1]):
            column = np.int32((points[i, axis] - low) * inverse) >> BLOCK_SHIFT
            inside[found, 0] = points[i, 0]
            inside[found, 1] = points[i, 1]
            inside[found, 2] = points[i, 2]
            found += int(first <= column <= last)
        inside_starts[frame + 1] = found
    return inside[:found], inside_starts
