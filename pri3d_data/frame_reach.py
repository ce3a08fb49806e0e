"""Frames around a cell settled by bits: those whose points reach every occupied subcell of it for sure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.bit_words import bit_count, lowest_bit
from pri3d_data.compiled import inline_kernel


@inline_kernel
def find_undecided(
    cell: int,
    near_cell: NDArray[np.int32],
    found: int,
    cell_frames: NDArray[np.int64],
    undecided: NDArray[np.int64],
) -> int:
    """Mark the frames that neighbours hold and the cell does not; not 0 if there are any."""
    anything = 0
    for w in range(len(undecided)):
        word = np.int64(0)
        for k in range(found):
            word |= cell_frames[np.uint64(near_cell[np.uint64(k)]), np.uint64(w)]
        word &= ~cell_frames[np.uint64(cell), np.uint64(w)]
        undecided[np.uint64(w)] = word
        anything |= int(word)
    return anything


@inline_kernel
def settle_by_reach(
    occupied: int,
    near_cell: NDArray[np.int32],
    near_which: NDArray[np.int32],
    found: int,
    first_group: NDArray[np.int32],
    cell_frames: NDArray[np.int64],
    octants: NDArray[np.uint8],
    reach_sure: NDArray[np.int64],
    reach_possible: NDArray[np.int64],
    undecided: NDArray[np.int64],
    sure: NDArray[np.int64],
    recorded: NDArray[np.int32],
    listed: NDArray[np.int32],
    possible: NDArray[np.int64],
    decided: NDArray[np.int32],
    settled: int,
) -> int:
    """Decide frames by their occupied octants, and list the groups of those left; how many are decided."""
    for k in range(found):
        there = np.uint64(near_cell[np.uint64(k)])
        which = np.uint64(near_which[np.uint64(k)])
        first = np.int64(first_group[there])
        for w in range(len(undecided)):
            frames = cell_frames[there, np.uint64(w)]
            left = frames & undecided[np.uint64(w)]
            while left != 0:
                bit = left & -left
                left ^= bit
                frame = np.uint64((w << 6) + lowest_bit(bit))
                group = first + bit_count(frames & (bit - 1))
                eighths = np.int64(octants[np.uint64(group)])
                low, high = np.uint64(eighths & 15), np.uint64(16 + (eighths >> 4))
                now = reach_sure[which, low] | reach_sure[which, high] | sure[frame]
                open_subcells = occupied & ~now
                if open_subcells == 0:
                    decided[np.uint64(settled)] = np.int32(frame)
                    settled += 1
                    undecided[np.uint64(w)] ^= bit
                    sure[frame] = 0
                    recorded[frame] = 0
                else:
                    more = (reach_possible[which, low] | reach_possible[which, high]) & open_subcells
                    sure[frame] = now
                    at = recorded[frame]
                    listed[frame, np.uint64(at)] = group
                    possible[frame, np.uint64(at)] = more
                    recorded[frame] = at + (more != 0)
            first += bit_count(frames)
    return settled
