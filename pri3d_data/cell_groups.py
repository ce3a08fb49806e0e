"""Points sorted by cell, and within a cell by frame: a counting sort straight to each point's place.

The points come frame after frame, so a cell's places fill in the order of frames. Neighbouring points of a
depth image mostly go to the same cell, and the same cache line.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.bit_words import bit_count
from pri3d_data.block_finding import Blocks, Places
from pri3d_data.compiled import inline_kernel, kernel


class Groups(NamedTuple):
    """Points of one frame in one cell, cell after cell, by ascending frame.

    Attributes:
        points: (N, 4) float32 metres; the fourth is frame·64 + subcell, exact below 2^18 frames;
            a subcell's number is x·16 + y·4 + z.
        start: (G + 1,) int32; group g holds ``points[start[g]:start[g + 1]]``.
        frame: (G,) int32.
        subcells: (G,) int64; bit s says whether subcell s holds a point.
        octants: (G,) uint8; bit o says whether that eighth of the cell does.
        first_group: (C + 1,) int32; cell c holds groups ``first_group[c]`` to ``first_group[c + 1]``.
        frames: (C, W) int64; bit f of a cell's words says whether frame f has points there.
    """

    points: NDArray[np.float32]
    start: NDArray[np.int32]
    frame: NDArray[np.int32]
    subcells: NDArray[np.int64]
    octants: NDArray[np.uint8]
    first_group: NDArray[np.int32]
    frames: NDArray[np.int64]


def group_bytes(points: int, frames: int, blocks: Blocks) -> int:
    """How much memory `group_points` takes at most."""
    return points * 33 + int(blocks.first_cell[-1]) * (20 + 8 * _words(frames))


def group_points(
    points: NDArray[np.float32], starts: NDArray[np.int64], places: Places, blocks: Blocks
) -> Groups:
    """Sort points whose places are found; frame f holds ``points[starts[f]:starts[f + 1]]``.

    ``places.block`` is overwritten.
    """
    words = _words(len(starts) - 1)
    return Groups(*_group(points, starts, *places, blocks.first_cell, blocks.cells, words))


def _words(frames: int) -> int:
    return frames // 64 + 1


@inline_kernel
def octants_of(subcells: int) -> int:
    """Which eighths of a cell a set of subcells touches, as 8 bits, x·4 + y·2 + z."""
    word = subcells | subcells >> 1
    word |= word >> 4
    word = (word | word >> 16) & 0x50500000505
    word = (word | word >> 1) & 0x30300000303
    word |= word >> 6
    return (word | word >> 28) & 255


@kernel
def _group(
    points: NDArray[np.float32],
    starts: NDArray[np.int64],
    cell_of: NDArray[np.int32],
    place: NDArray[np.int16],
    rank: NDArray[np.int32],
    first_cell: NDArray[np.int64],
    occupied: NDArray[np.int64],
    words: int,
) -> tuple[
    NDArray[np.float32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int64],
    NDArray[np.uint8],
    NDArray[np.int32],
    NDArray[np.int64],
]:
    """``cell_of`` comes in with blocks as they were met, numbered by rank now; it is overwritten."""
    cells = first_cell[-1]
    # Where the next point of each cell goes; before that, one cell ahead, how many points a cell has.
    at = np.zeros(cells + 1, dtype=np.int32)
    for j in range(len(points)):
        i = np.uint64(j)
        block = np.uint64(rank[np.uint64(cell_of[i])])
        below = (np.int64(1) << np.int64(place[i] >> 6)) - 1
        cell = np.int32(first_cell[block] + bit_count(occupied[block] & below))
        cell_of[i] = cell
        at[np.uint64(cell + 1)] += 1
    for c in range(cells):
        at[c + 1] += at[c]
    placed = np.empty((len(points), 4), dtype=np.float32)
    for frame in range(len(starts) - 1):
        for j in range(starts[frame], starts[frame + 1]):
            i = np.uint64(j)
            home = np.uint64(cell_of[i])
            to = np.uint64(at[home])
            at[home] += 1
            placed[to, 0] = points[i, 0]
            placed[to, 1] = points[i, 1]
            placed[to, 2] = points[i, 2]
            placed[to, 3] = np.float32(frame << 6 | place[i] & 63)

    # Of memory that is never written to, the machine gives none.
    start = np.empty(len(points) + 1, dtype=np.int32)
    frame_of = np.empty(len(points), dtype=np.int32)
    subcells = np.empty(len(points), dtype=np.int64)
    octants = np.empty(len(points), dtype=np.uint8)
    first_group = np.empty(cells + 1, dtype=np.int32)
    frames = np.zeros((cells, words), dtype=np.int64)
    count = 0
    done = 0
    for c in range(cells):
        first_group[c] = count
        # By now it is where the next cell starts.
        stop = np.int64(at[c])
        while done < stop:
            here = np.int64(placed[np.uint64(done), 3]) >> 6
            start[count] = done
            inside = 0
            while done < stop:
                code = np.int64(placed[np.uint64(done), 3])
                if code >> 6 != here:
                    break
                inside |= int(np.int64(1) << (code & 63))
                done += 1
            frame_of[count] = here
            subcells[count] = inside
            octants[count] = octants_of(inside)
            frames[c, here >> 6] |= np.int64(1) << (here & 63)
            count += 1
    first_group[cells] = count
    start[count] = len(points)
    return (
        placed,
        start[: count + 1],
        frame_of[:count],
        subcells[:count],
        octants[:count],
        first_group,
        frames,
    )
