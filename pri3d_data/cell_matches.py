"""Deciding, cell by cell, which frames' points have which other frames near: bits first, distances last.

A frame that shares a cell matches all its points. Frames in neighbouring cells are settled by what their
points surely reach (`frame_reach`), and the few left by distances (`frame_tests`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.bit_words import lowest_bit
from pri3d_data.cell_neighbours import WINDOW, fill_window, list_neighbours, place_in_window
from pri3d_data.compiled import kernel
from pri3d_data.frame_reach import find_undecided, settle_by_reach
from pri3d_data.frame_tests import settle_by_distance
from pri3d_data.point_tests import LANES

_NEIGHBOURS = 128


@kernel
def count_matches(
    block_key: NDArray[np.int64],
    block_cells: NDArray[np.int64],
    first_cell: NDArray[np.int64],
    table: NDArray[np.int32],
    points: NDArray[np.float32],
    start: NDArray[np.int32],
    frame_of: NDArray[np.int32],
    subcells: NDArray[np.int64],
    octants: NDArray[np.uint8],
    first_group: NDArray[np.int32],
    cell_frames: NDArray[np.int64],
    owned: NDArray[np.bool_],
    shape: NDArray[np.int64],
    steps: NDArray[np.int64],
    reach_sure: NDArray[np.int64],
    reach_possible: NDArray[np.int64],
    squared: float,
    surely: np.float32,
    possibly: np.float32,
    frames: int,
) -> NDArray[np.int64]:
    """Count the points of each frame that have a point of each other frame within the radius.

    Kernels take arrays and no tuples: taking an array out of a tuple counts a reference, atomically, and a
    cached kernel whose signature names a class cannot be loaded once that class is gone.

    Args:
        block_key, block_cells, first_cell, table: see `block_finding.Blocks`.
        points, start, frame_of, subcells, octants, first_group, cell_frames: see `cell_groups.Groups`.
        owned: (B,) the blocks whose points are to be counted.
        shape: (3,) int64 of the grid in blocks, with its border.
        steps: see `cell_neighbours.window_steps`.
        reach_sure, reach_possible: see `subcell_reach.SubcellReach`.
        squared, surely, possibly: see `point_tests.Radius`.
        frames: how many there are, F.

    Returns:
        (F, F) int64; ``[a, b]`` counts points of a with a point of b near.
    """
    counts = np.zeros((frames, frames), dtype=np.int64)
    window = np.empty(WINDOW, dtype=np.int32)
    near_cell = np.empty(_NEIGHBOURS, dtype=np.int32)
    near_which = np.empty(_NEIGHBOURS, dtype=np.int32)
    lanes, owner = np.zeros(4 * LANES, dtype=np.float32), np.zeros(LANES, dtype=np.int32)
    # Of each frame around the cell at hand: whether it is undecided, as bits; the subcells it surely reaches;
    # its groups that may reach others, nearest cells first, and what they may reach. And the decided frames.
    undecided = np.zeros(cell_frames.shape[1], dtype=np.int64)
    sure = np.zeros(frames, dtype=np.int64)
    recorded = np.zeros(frames, dtype=np.int32)
    listed = np.empty((frames, _NEIGHBOURS), dtype=np.int32)
    possible = np.empty((frames, _NEIGHBOURS), dtype=np.int64)
    decided = np.empty(frames, dtype=np.int32)
    for block in range(len(block_key)):
        if not owned[block]:
            continue
        fill_window(window, block_key, block_cells, first_cell, table, block, shape)
        word = block_cells[block]
        cell = first_cell[block]
        while word != 0:
            centre = place_in_window(lowest_bit(word))
            word &= word - 1
            found = list_neighbours(window, centre, steps, near_cell, near_which)
            g0, g1 = int(first_group[cell]), int(first_group[cell + 1])
            settled = 0
            occupied = 0
            for group in range(g0, g1):
                decided[settled] = frame_of[group]
                settled += 1
                occupied |= int(subcells[group])
            if find_undecided(cell, near_cell, found, cell_frames, undecided) != 0:
                settled = settle_by_reach(
                    occupied,
                    near_cell,
                    near_which,
                    found,
                    first_group,
                    cell_frames,
                    octants,
                    reach_sure,
                    reach_possible,
                    undecided,
                    sure,
                    recorded,
                    listed,
                    possible,
                    decided,
                    settled,
                )
                settle_by_distance(
                    g0,
                    g1,
                    points,
                    start,
                    frame_of,
                    subcells,
                    squared,
                    surely,
                    possibly,
                    undecided,
                    sure,
                    recorded,
                    listed,
                    possible,
                    lanes,
                    owner,
                    counts,
                )
            for group in range(g0, g1):
                size = start[group + 1] - start[group]
                frame = np.uint64(frame_of[group])
                for k in range(settled):
                    counts[frame, np.uint64(decided[np.uint64(k)])] += size
            cell += 1
    return counts
