"""Deciding, cell by cell, which frames' points have which other frames near: bits first, distances last.

A frame that shares a cell matches all its points. Of the frames in neighbouring cells, those whose points surely
reach every occupied subcell do too; of the others, only points in subcells they may reach are tested.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.bit_words import bit_count, lowest_bit
from pri3d_data.cell_neighbours import WINDOW, fill_window, list_neighbours, place_in_window
from pri3d_data.cell_sorting import Blocks, Groups
from pri3d_data.compiled import inline_kernel, kernel
from pri3d_data.point_tests import LANES, Radius, Waiting, count_near
from pri3d_data.subcell_reach import SubcellReach

_NEIGHBOURS = 128


class _Frames(NamedTuple):
    """What is known of each frame around the cell at hand.

    Attributes:
        undecided: (W,) int64; bit f says whether frame f is near and not decided yet.
        decided: (F,) int32 frames that match all points of the cell.
        sure: (F,) int64 subcells of the cell that the frame surely reaches.
        recorded: (F,) int32 how many of the frame's groups may reach more.
        group: (F, 128) int32, those, the cell's nearest neighbours first.
        possible: (F, 128) int64 subcells that they may reach.
    """

    undecided: NDArray[np.int64]
    decided: NDArray[np.int32]
    sure: NDArray[np.int64]
    recorded: NDArray[np.int32]
    group: NDArray[np.int32]
    possible: NDArray[np.int64]


@kernel
def count_matches(
    blocks: Blocks,
    groups: Groups,
    owned: NDArray[np.bool_],
    shape: NDArray[np.int64],
    steps: NDArray[np.int64],
    reach: SubcellReach,
    radius: Radius,
    frames: int,
) -> NDArray[np.int64]:
    """(F, F) int64; ``[a, b]`` counts points of a, in blocks that are ``owned``, with a point of b near."""
    counts = np.zeros((frames, frames), dtype=np.int64)
    window = np.empty(WINDOW, dtype=np.int32)
    near_cell = np.empty(_NEIGHBOURS, dtype=np.int32)
    near_which = np.empty(_NEIGHBOURS, dtype=np.int32)
    known = _Frames(
        np.zeros(groups.frames.shape[1], dtype=np.int64),
        np.empty(frames, dtype=np.int32),
        np.zeros(frames, dtype=np.int64),
        np.zeros(frames, dtype=np.int32),
        np.empty((frames, _NEIGHBOURS), dtype=np.int32),
        np.empty((frames, _NEIGHBOURS), dtype=np.int64),
    )
    waiting = Waiting(np.zeros(4 * LANES, dtype=np.float32), np.zeros(LANES, dtype=np.int32))
    for block in range(len(blocks.key)):
        if not owned[block]:
            continue
        fill_window(window, blocks, block, shape)
        word = blocks.cells[block]
        cell = blocks.first_cell[block]
        while word != 0:
            centre = place_in_window(lowest_bit(word))
            word &= word - 1
            found = list_neighbours(window, centre, steps, near_cell, near_which)
            decided = 0
            occupied = np.int64(0)
            for group in range(groups.first_group[cell], groups.first_group[cell + 1]):
                known.decided[decided] = groups.frame[group]
                decided += 1
                occupied |= groups.subcells[group]
            if _find_undecided(cell, near_cell, found, groups, known) != 0:
                decided = _reach(occupied, decided, near_cell, near_which, found, groups, reach, known)
                _test(cell, occupied, groups, radius, known, waiting, counts)
            for group in range(groups.first_group[cell], groups.first_group[cell + 1]):
                size = groups.start[group + 1] - groups.start[group]
                frame = np.uint64(groups.frame[group])
                for k in range(decided):
                    counts[frame, np.uint64(known.decided[np.uint64(k)])] += size
            cell += 1
    return counts


@inline_kernel
def _find_undecided(
    cell: int, near_cell: NDArray[np.int32], found: int, groups: Groups, known: _Frames
) -> int:
    """Mark the frames that neighbours hold and the cell does not; not 0 if there are any."""
    anything = np.int64(0)
    for w in range(len(known.undecided)):
        word = np.int64(0)
        for k in range(found):
            word |= groups.frames[np.uint64(near_cell[np.uint64(k)]), np.uint64(w)]
        word &= ~groups.frames[np.uint64(cell), np.uint64(w)]
        known.undecided[np.uint64(w)] = word
        anything |= word
    return anything


@inline_kernel
def _reach(
    occupied: int,
    decided: int,
    near_cell: NDArray[np.int32],
    near_which: NDArray[np.int32],
    found: int,
    groups: Groups,
    reach: SubcellReach,
    known: _Frames,
) -> int:
    """Decide frames by their occupied octants, and record the groups of those left; how many are decided."""
    undecided, sure, recorded = known.undecided, known.sure, known.recorded
    for k in range(found):
        there = np.uint64(near_cell[np.uint64(k)])
        which = np.uint64(near_which[np.uint64(k)])
        first = np.int64(groups.first_group[there])
        for w in range(len(undecided)):
            frames = groups.frames[there, np.uint64(w)]
            left = frames & undecided[np.uint64(w)]
            while left != 0:
                bit = left & -left
                left ^= bit
                frame = np.uint64((w << 6) + lowest_bit(bit))
                group = first + bit_count(frames & (bit - 1))
                octants = np.int64(groups.octants[np.uint64(group)])
                low, high = np.uint64(octants & 15), np.uint64(16 + (octants >> 4))
                now = reach.sure[which, low] | reach.sure[which, high] | sure[frame]
                open_subcells = occupied & ~now
                if open_subcells == 0:
                    known.decided[np.uint64(decided)] = np.int32(frame)
                    decided += 1
                    undecided[np.uint64(w)] ^= bit
                    sure[frame] = 0
                    recorded[frame] = 0
                else:
                    possible = (reach.possible[which, low] | reach.possible[which, high]) & open_subcells
                    sure[frame] = now
                    at = recorded[frame]
                    known.group[frame, np.uint64(at)] = group
                    known.possible[frame, np.uint64(at)] = possible
                    recorded[frame] = at + (possible != 0)
            first += bit_count(frames)
    return decided


@inline_kernel
def _test(
    cell: int,
    occupied: int,
    groups: Groups,
    radius: Radius,
    known: _Frames,
    waiting: Waiting,
    counts: NDArray[np.int64],
) -> None:
    """Count, for each frame still undecided, the points it surely reaches and those a distance says it does."""
    lanes, owner = waiting.lanes, waiting.owner
    points, codes = groups.points, groups.points.view(np.int32)
    g0, g1 = groups.first_group[cell], groups.first_group[cell + 1]
    for w in range(len(known.undecided)):
        left = known.undecided[np.uint64(w)]
        while left != 0:
            frame = np.uint64((w << 6) + lowest_bit(left))
            left &= left - 1
            sure = known.sure[frame]
            listed = known.group[frame]
            groups_listed = 0
            possible = np.int64(0)
            for k in range(known.recorded[frame]):
                more = known.possible[frame, np.uint64(k)] & ~sure
                possible |= more
                listed[np.uint64(groups_listed)] = listed[np.uint64(k)]
                groups_listed += more != 0
            known.sure[frame] = 0
            known.recorded[frame] = 0
            waits = 0
            for g in range(g0, g1):
                group = np.uint64(g)
                mine = groups.frame[group]
                inside = groups.subcells[group]
                start, stop = groups.start[group], groups.start[np.uint64(g + 1)]
                if inside & ~sure == 0:
                    counts[np.uint64(mine), frame] += stop - start
                    continue
                if inside & (sure | possible) == 0:
                    continue
                near = np.int64(0)
                for j in range(start, stop):
                    i = np.uint64(j)
                    subcell = np.int64(codes[i, 3])
                    near += sure >> subcell & 1
                    lanes[np.uint64(waits)] = points[i, 0]
                    lanes[np.uint64(16 + waits)] = points[i, 1]
                    lanes[np.uint64(32 + waits)] = points[i, 2]
                    owner[np.uint64(waits)] = mine
                    waits += possible >> subcell & 1
                    if waits == LANES:
                        count_near(waiting, waits, groups, listed, groups_listed, radius, frame, counts)
                        waits = 0
                counts[np.uint64(mine), frame] += near
            if waits > 0:
                count_near(waiting, waits, groups, listed, groups_listed, radius, frame, counts)
