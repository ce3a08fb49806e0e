from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pri3d_data.block_finding import Blocks, find_block, find_blocks
from pri3d_data.cell_groups import Groups, group_points
from pri3d_data.cells import cell_grid

RADIUS_M = 0.02


def sorted_cloud(frames: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], Blocks, Groups]:
    points = np.concatenate(frames)
    starts = np.cumsum([0, *map(len, frames)]).astype(np.int64)
    places, blocks = find_blocks(points, cell_grid(points, RADIUS_M))
    return points, blocks, group_points(points, starts, places, blocks)


def cloud(seed: int, sizes: list[int], span: float) -> list[NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    return [(random.random((n, 3)) * span).astype(np.float32) for n in sizes]


sizes = st.lists(st.integers(0, 60), min_size=1, max_size=70).filter(any)


@given(st.integers(0, 99), sizes, st.sampled_from([0.01, 0.1, 5.0, 900.0]))
def test_every_point_is_in_the_group_of_its_frame_and_cell(seed: int, sizes: list[int], span: float) -> None:
    frames = cloud(seed, sizes, span)
    points, _, groups = sorted_cloud(frames)
    grid = cell_grid(points, RADIUS_M)
    seen = []
    assert (np.diff(groups.start) > 0).all()
    for cell in range(len(groups.first_group) - 1):
        inside = range(groups.first_group[cell], groups.first_group[cell + 1])
        assert [f for f in range(len(frames)) if groups.frames[cell, f // 64] >> (f % 64) & 1] == [
            groups.frame[g] for g in inside
        ]
        cells = set()
        for g in inside:
            mine = groups.points[groups.start[g] : groups.start[g + 1]]
            subcells = np.floor((mine[:, :3].astype(np.float64) - grid.low) * grid.inverse).astype(np.int64)
            cells |= {tuple(c) for c in (subcells >> 2).tolist()}
            number = (subcells & 3) @ np.array([16, 4, 1])
            np.testing.assert_array_equal(mine[:, 3], int(groups.frame[g]) * 64 + number)
            assert int(groups.subcells[g]) & (2**64 - 1) == sum(1 << n for n in set(number.tolist()))
            seen += [(int(groups.frame[g]), *map(float, p)) for p in mine[:, :3]]
        assert len(cells) == 1
    assert sorted(seen) == sorted((f, *map(float, p)) for f, frame in enumerate(frames) for p in frame)


@pytest.mark.parametrize("span", [0.3, 400.0])
def test_a_block_is_found_by_its_key_and_no_other_is(span: float) -> None:
    _, blocks, _ = sorted_cloud(cloud(1, [5_000], span))
    keys = {int(key): block for block, key in enumerate(blocks.key)}
    assert len(keys) == len(blocks.key)
    for key in [*keys, *range(100), 2**61]:
        assert find_block(blocks.table, blocks.key, key) == keys.get(key, -1)
