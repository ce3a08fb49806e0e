"""Points sorted into cells, and within a cell by frame: a counting sort in the order the points come.

Depth images give their points row by row, so neighbouring points mostly share a cell, a block and a cache line. The
passes below look a block up in a hash table only where it changes, and write each point straight to its place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.bit_words import bit_count
from pri3d_data.cells import BLOCK_SHIFT, CellGrid
from pri3d_data.compiled import inline_kernel, kernel

_CHUNK = 512


class Blocks(NamedTuple):
    """Blocks that hold points, in the order they were met.

    Attributes:
        key: (B,) int64 number of the block in a grid that has a border of one empty block.
        cells: (B,) int64; bit x·16 + y·4 + z says whether that cell holds points.
        first_cell: (B + 1,) int64; the block's cells are numbered from here, by ascending bit.
        table: (T,) int32 block at each place of the hash table, -1 where there is none; T is a power of two.
    """

    key: NDArray[np.int64]
    cells: NDArray[np.int64]
    first_cell: NDArray[np.int64]
    table: NDArray[np.int32]


class Groups(NamedTuple):
    """Points of one frame in one cell, cell after cell, by ascending frame.

    Attributes:
        points: (N, 4) float32 metres; the fourth is the subcell's number, x·16 + y·4 + z, as int32 bits.
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


def sort_into_cells(
    points: NDArray[np.float32], starts: NDArray[np.int64], grid: CellGrid
) -> tuple[Blocks, Groups]:
    """Sort points, (N, 3) float32 metres with N < 2^31; frame f holds ``points[starts[f]:starts[f + 1]]``."""
    cell, place, blocks = _find_blocks(points, grid.low, grid.inverse, grid.blocks + 2)
    words = (len(starts) + 62) // 64
    return blocks, _group(points, starts, cell, place, blocks, words)


@inline_kernel
def find_block(blocks: Blocks, key: int) -> int:
    """The number of the block of this key; -1 where it holds no points."""
    last = np.uint64(len(blocks.table) - 1)
    at = _hash(key) & last
    while True:
        block = np.int64(blocks.table[at])
        if block < 0 or blocks.key[block] == key:
            return block
        at = (at + np.uint64(1)) & last


@inline_kernel
def octants_of(subcells: int) -> int:
    """Which eighths of a cell a set of subcells touches, as 8 bits, x·4 + y·2 + z."""
    word = subcells | subcells >> 1
    word |= word >> 4
    word = (word | word >> 16) & 0x50500000505
    word = (word | word >> 1) & 0x30300000303
    word |= word >> 6
    return (word | word >> 28) & 255


@inline_kernel
def _hash(key: int) -> int:
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return mixed >> np.uint64(32)


@kernel
def _find_blocks(
    points: NDArray[np.float32], low: NDArray[np.float64], inverse: float, shape: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int16], Blocks]:
    count = len(points)
    block_of = np.empty(count, dtype=np.int32)
    place = np.empty(count, dtype=np.int16)
    keys = np.empty(_CHUNK, dtype=np.int64)
    table = np.full(1 << 12, -1, dtype=np.int32)
    known = np.empty(1 << 10, dtype=np.int64)
    cells = np.zeros(1 << 10, dtype=np.int64)
    found = 0
    key = np.int64(-1)
    block = np.int64(-1)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        for i in range(start, stop):
            x = np.int32((points[i, 0] - low[0]) * inverse)
            y = np.int32((points[i, 1] - low[1]) * inverse)
            z = np.int32((points[i, 2] - low[2]) * inverse)
            plane = ((x >> BLOCK_SHIFT) + 1) * shape[1] + (y >> BLOCK_SHIFT) + 1
            keys[i - start] = plane * shape[2] + (z >> BLOCK_SHIFT) + 1
            cell = (x >> 2 & 3) << 4 | (y >> 2 & 3) << 2 | (z >> 2 & 3)
            place[i] = cell << 6 | (x & 3) << 4 | (y & 3) << 2 | (z & 3)
        for i in range(start, stop):
            if keys[i - start] != key:
                key = keys[i - start]
                last = np.uint64(len(table) - 1)
                at = _hash(key) & last
                while table[at] >= 0 and known[table[at]] != key:
                    at = (at + np.uint64(1)) & last
                if table[at] < 0:
                    if found == len(known):
                        known = np.concatenate((known, np.empty(found, dtype=np.int64)))
                        cells = np.concatenate((cells, np.zeros(found, dtype=np.int64)))
                    known[found] = key
                    table[at] = found
                    found += 1
                    block = np.int64(found - 1)
                    if 2 * found > len(table):
                        table = _rehashed(known[:found], 2 * len(table))
                else:
                    block = np.int64(table[at])
            block_of[i] = block
            cells[block] |= np.int64(1) << np.int64(place[i] >> 6)
    first_cell = np.empty(found + 1, dtype=np.int64)
    first_cell[0] = 0
    for b in range(found):
        first_cell[b + 1] = first_cell[b] + bit_count(cells[b])
    return block_of, place, Blocks(known[:found].copy(), cells[:found].copy(), first_cell, table)


@inline_kernel
def _rehashed(keys: NDArray[np.int64], size: int) -> NDArray[np.int32]:
    table = np.full(size, -1, dtype=np.int32)
    last = np.uint64(size - 1)
    for block in range(len(keys)):
        at = _hash(keys[block]) & last
        while table[at] >= 0:
            at = (at + np.uint64(1)) & last
        table[at] = block
    return table


@kernel
def _group(
    points: NDArray[np.float32],
    starts: NDArray[np.int64],
    cell_of: NDArray[np.int32],
    place: NDArray[np.int16],
    blocks: Blocks,
    words: int,
) -> Groups:
    """``cell_of`` comes in with blocks and is overwritten."""
    cells = blocks.first_cell[-1]
    # Of each cell, side by side: points, groups, the last frame met. Then where the next of each goes.
    state = np.zeros((cells, 4), dtype=np.int32)
    state[:, 2] = -1
    first_cell, occupied = blocks.first_cell, blocks.cells
    for frame in range(len(starts) - 1):
        for j in range(starts[frame], starts[frame + 1]):
            i = np.uint64(j)
            block = np.uint64(cell_of[i])
            below = (np.int64(1) << np.int64(place[i] >> 6)) - 1
            cell = np.uint64(first_cell[block] + bit_count(occupied[block] & below))
            cell_of[i] = np.int32(cell)
            state[cell, 0] += 1
            if state[cell, 2] != frame:
                state[cell, 2] = frame
                state[cell, 1] += 1
    first_group = np.empty(cells + 1, dtype=np.int32)
    total = 0
    count = 0
    for cell in range(cells):
        first_group[cell] = count
        state[cell, 0], total = total, total + state[cell, 0]
        state[cell, 1], count = count, count + state[cell, 1]
        state[cell, 2] = -1
    first_group[cells] = count

    placed = np.empty((len(points), 4), dtype=np.float32)
    bits = placed.view(np.int32)
    start = np.empty(count + 1, dtype=np.int32)
    frame_of = np.empty(count, dtype=np.int32)
    subcells = np.zeros(count, dtype=np.int64)
    frames = np.zeros((cells, words), dtype=np.int64)
    for frame in range(len(starts) - 1):
        for j in range(starts[frame], starts[frame + 1]):
            i = np.uint64(j)
            cell = np.uint64(cell_of[i])
            to = np.uint64(state[cell, 0])
            state[cell, 0] += 1
            if state[cell, 2] != frame:
                state[cell, 2] = frame
                new = state[cell, 1]
                state[cell, 1] += 1
                start[new] = np.int32(to)
                frame_of[new] = frame
                frames[cell, frame >> 6] |= np.int64(1) << np.int64(frame & 63)
            subcell = place[i] & 63
            placed[to, 0] = points[i, 0]
            placed[to, 1] = points[i, 1]
            placed[to, 2] = points[i, 2]
            bits[to, 3] = subcell
            subcells[np.uint64(state[cell, 1] - 1)] |= np.int64(1) << np.int64(subcell)
    start[count] = len(points)
    octants = np.empty(count, dtype=np.uint8)
    for group in range(count):
        octants[group] = octants_of(subcells[group])
    return Groups(placed, start, frame_of, subcells, octants, first_group, frames)
