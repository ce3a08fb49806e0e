from __future__ import annotations

import numpy as np
import pytest

from pri3d_data.cell_groups import octants_of
from pri3d_data.subcell_reach import subcell_reach

RADIUS = 4 * np.sqrt(3.0)


def corners(subcell: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(2, 3) lowest and highest corner of a subcell, in sides."""
    low = np.array([subcell >> 4, subcell >> 2 & 3, subcell & 3], dtype=np.float64)
    return np.stack([low, low + 1])


def bits(word: np.int64) -> set[int]:
    return {s for s in range(64) if int(word) >> s & 1}


def test_all_124_neighbours_are_there_once_nearest_first() -> None:
    offset = subcell_reach().offset
    assert len({tuple(o) for o in offset.tolist()}) == len(offset) == 124
    assert (np.diff((offset**2).sum(axis=1)) >= 0).all()
    assert (np.abs(offset).max(axis=0) == 2).all()
    assert offset.any(axis=1).all()


@pytest.mark.parametrize("k", [0, 5, 17, 60, 99, 123])
def test_a_single_octant_reaches_what_its_eight_subcells_corners_say(k: int) -> None:
    reach = subcell_reach()
    for octant in range(8):
        entry = 16 * (octant >> 2) + (1 << (octant & 3))
        members = [s for s in range(64) if octants_of(1 << s if s < 63 else -(2**63)) == 1 << octant]
        sure, possible = set(range(64)), set()
        for theirs in members:
            far = corners(theirs) + 4 * reach.offset[k]
            for ours in range(64):
                near = corners(ours)
                gap = np.maximum(np.maximum(far[0] - near[1], near[0] - far[1]), 0)
                span = np.maximum(far[1] - near[0], near[1] - far[0])
                if np.linalg.norm(span) > RADIUS * (1 + 1e-9):
                    sure.discard(ours)
                if np.linalg.norm(gap) <= RADIUS * (1 + 1e-9):
                    possible.add(ours)
        assert bits(reach.sure[k, entry]) == sure
        assert bits(reach.possible[k, entry]) == possible


def test_several_octants_reach_what_any_of_them_does() -> None:
    reach = subcell_reach()
    for table in (reach.sure, reach.possible):
        np.testing.assert_array_equal(table[:, 0b0101], table[:, 0b0001] | table[:, 0b0100])
        np.testing.assert_array_equal(table[:, 16 + 0b1010], table[:, 16 + 0b0010] | table[:, 16 + 0b1000])
        assert not table[:, [0, 16]].any()


def test_octants_are_the_eighths_that_subcells_lie_in() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        chosen = random.choice(64, random.integers(0, 6), replace=False)
        word = np.array([sum(1 << int(s) for s in chosen)], np.uint64).view(np.int64)[0]
        expected = 0
        for s in chosen:
            x, y, z = s >> 4, s >> 2 & 3, s & 3
            expected |= 1 << ((x >> 1) * 4 + (y >> 1) * 2 + (z >> 1))
        assert octants_of(word) == expected
