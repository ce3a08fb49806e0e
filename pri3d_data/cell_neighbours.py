"""The occupied neighbours of a cell: found by adding, in a small window around its block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.bit_words import lowest_bit
from pri3d_data.block_finding import find_block
from pri3d_data.cells import REACH
from pri3d_data.compiled import inline_kernel

# A block and two cells around it: 8×8×8.
WINDOW = 512


def window_steps(offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """(K,) int64 steps in a window of offsets, (K, 3) int64 cells."""
    return offset[:, 0] * 64 + offset[:, 1] * 8 + offset[:, 2]


@inline_kernel
def place_in_window(cell: int) -> int:
    """Where a window holds a cell of its block, given as its bit."""
    return ((cell >> 4) + REACH) << 6 | ((cell >> 2 & 3) + REACH) << 3 | ((cell & 3) + REACH)


@inline_kernel
def fill_window(
    window: NDArray[np.int32],
    block_key: NDArray[np.int64],
    block_cells: NDArray[np.int64],
    first_cell: NDArray[np.int64],
    table: NDArray[np.int32],
    block: int,
    shape: NDArray[np.int64],
) -> None:
    """Write the numbers of the cells in and around a block, -1 where a cell holds no points.

    ``shape`` is the grid's in blocks, with its border.
    """
    window[:] = -1
    for dx in range(-1, 2):
        for dy in range(-1, 2):
            for dz in range(-1, 2):
                other = find_block(table, block_key, block_key[block] + (dx * shape[1] + dy) * shape[2] + dz)
                if other < 0:
                    continue
                word = block_cells[other]
                number = first_cell[other]
                while word != 0:
                    bit = lowest_bit(word)
                    word &= word - 1
                    x = (bit >> 4) + 4 * dx + REACH
                    y = (bit >> 2 & 3) + 4 * dy + REACH
                    z = (bit & 3) + 4 * dz + REACH
                    if 0 <= x < 8 and 0 <= y < 8 and 0 <= z < 8:
                        window[x << 6 | y << 3 | z] = number
                    number += 1


@inline_kernel
def list_neighbours(
    window: NDArray[np.int32],
    centre: int,
    steps: NDArray[np.int64],
    cell: NDArray[np.int32],
    which: NDArray[np.int32],
) -> int:
    """Write the occupied neighbours' cells and which of the steps led there; how many there are."""
    found = 0
    for k in range(len(steps)):
        there = window[np.uint64(centre + steps[np.uint64(k)])]
        cell[np.uint64(found)] = there
        which[np.uint64(found)] = k
        found += there >= 0
    return found
