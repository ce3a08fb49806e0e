"""Which subcells of a cell a neighbouring cell's points reach for sure, and which they may reach.

Worked out once, in whole numbers, for all places of a neighbour: subcells d apart along an axis hold points
between max(|d| - 1, 0) and |d| + 1 sides apart, and the radius is 4·√3 sides (a hair more: see
`cells.SIDE_OF_RADIUS`).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.cell_groups import octants_of
from pri3d_data.cells import REACH, SUBCELLS

_RADIUS2 = 3 * SUBCELLS**2


class SubcellReach(NamedTuple):
    """Tables for the 124 neighbours of a cell, nearest first.

    Attributes:
        offset: (124, 3) int64 cells from the cell to its neighbour.
        sure: (124, 32) int64. A neighbour's occupied octants are two halves of four bits: entry
            ``half * 16 + bits`` is the set of subcells of the cell that lie wholly within the radius of
            every point those octants can hold.
        possible: (124, 32) int64, likewise: those that are not wholly beyond the radius of all of them.
    """

    offset: NDArray[np.int64]
    sure: NDArray[np.int64]
    possible: NDArray[np.int64]


@cache
def subcell_reach() -> SubcellReach:
    """The tables; they depend on nothing."""
    steps = np.arange(-REACH, REACH + 1)
    offset = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    offset = offset[offset.any(axis=1)]
    offset = offset[np.argsort((offset**2).sum(axis=1), kind="stable")].astype(np.int64)
    number = np.arange(SUBCELLS**3)
    subcell = np.stack([number >> 4, number >> 2 & 3, number & 3], axis=-1)
    theirs = subcell + SUBCELLS * offset[:, None]
    apart = np.abs(theirs[:, :, None] - subcell)
    sure = ((apart + 1) ** 2).sum(axis=-1) <= _RADIUS2
    possible = (np.maximum(apart - 1, 0) ** 2).sum(axis=-1) <= _RADIUS2
    octant = np.array([octants_of(1 << i if i < 63 else -(2**63)) for i in range(64)])
    eighths = [octant == 1 << i for i in range(8)]
    sure = np.stack([sure[:, eighth].all(axis=1) for eighth in eighths], axis=1)
    possible = np.stack([possible[:, eighth].any(axis=1) for eighth in eighths], axis=1)
    return SubcellReach(offset, _halves(sure), _halves(possible))


def _halves(of_octant: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(124, 8, 64) booleans to (124, 32) words, the union over the octants of each half's each pattern."""
    words = np.zeros((len(of_octant), 32), dtype=np.uint64)
    packed = np.packbits(of_octant, axis=-1, bitorder="little").view("<u8")[..., 0]
    for entry in range(32):
        for bit in range(4):
            if entry >> bit & 1:
                words[:, entry] |= packed[:, 4 * (entry >> 4) + bit]
    return words.view(np.int64)
