"""Which blocks and cells of the grid hold points, and where in them each point lies.

Depth images give their points row by row, so neighbouring points mostly share a block: it is looked up in a
hash table only where it changes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.cells import BLOCK_SHIFT, CellGrid
from pri3d_data.compiled import inline_kernel, kernel

_CHUNK = 512
_CUBE_SHIFT = 2


class Blocks(NamedTuple):
    """Blocks that hold points.

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


class Places(NamedTuple):
    """Where points lie, found before they are moved.

    Attributes:
        block: (N,) int32 each point's block, in the order blocks were met.
        place: (N,) int16 its cell and subcell in the block, cell·64 + subcell.
        rank: (B,) int32 the numbers that the blocks, in the order they were met, have now.
    """

    block: NDArray[np.int32]
    place: NDArray[np.int16]
    rank: NDArray[np.int32]


def find_blocks(points: NDArray[np.float32], grid: CellGrid) -> tuple[Places, Blocks]:
    """The occupied blocks, and each point's place in them, of points (N, 3) float32 metres with N < 2^31."""
    shape = grid.blocks + 2
    block, place, key, cells, table = _find_blocks(points, grid.low, grid.inverse, shape)
    order = _near_together(key, shape)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    table[table >= 0] = rank[table[table >= 0]]
    first_cell = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(np.bitwise_count(cells[order].view(np.uint64)), out=first_cell[1:])
    return Places(block, place, rank), Blocks(key[order], cells[order], first_cell, table)


def _near_together(key: NDArray[np.int64], shape: NDArray[np.int64]) -> NDArray[np.int64]:
    """(B,) int64 order of blocks that keeps most neighbours near in memory: cubes of blocks, one by one."""
    plane, z = np.divmod(key, shape[2])
    x, y = np.divmod(plane, shape[1])
    cubes = (shape >> _CUBE_SHIFT) + 1
    cube = ((x >> _CUBE_SHIFT) * cubes[1] + (y >> _CUBE_SHIFT)) * cubes[2] + (z >> _CUBE_SHIFT)
    # Of a vast and empty grid this may overflow: then neighbours are less near, and as well counted.
    last = (1 << _CUBE_SHIFT) - 1
    inside = ((x & last) << _CUBE_SHIFT | (y & last)) << _CUBE_SHIFT | (z & last)
    return np.argsort(cube << 3 * _CUBE_SHIFT | inside, kind="stable")


@inline_kernel
def find_block(table: NDArray[np.int32], block_key: NDArray[np.int64], key: int) -> int:
    """The number of the block of this key; -1 where it holds no points."""
    last = np.uint64(len(table) - 1)
    at = _hash(key) & last
    while True:
        block = int(table[at])
        if block < 0 or block_key[block] == key:
            return block
        at = (at + np.uint64(1)) & last


@inline_kernel
def _hash(key: int) -> int:
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return int(mixed >> np.uint64(32))


@kernel
def _find_blocks(
    points: NDArray[np.float32], low: NDArray[np.float64], inverse: float, shape: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int16], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Every point's block and place; the blocks' keys and cells in the order met, and their hash table."""
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
    return block_of, place, known[:found].copy(), cells[:found].copy(), table


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
