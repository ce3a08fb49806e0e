from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shards.dealing import Deal
from shards.epoch import deal_of, epoch_order, lanes_by_weight, lanes_for, mixed_order


def scene_numbers(sizes: list[int]) -> NDArray[np.int32]:
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)


SIZES = st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(lambda sizes: sum(sizes) > 0)


@given(SIZES, st.integers(0, 2**40), st.integers(0, 1000), st.integers(1, 16), st.integers(1, 40))
def test_an_epoch_serves_every_pair_once_in_lanes_that_differ_by_one(
    sizes: list[int], seed: int, epoch: int, lanes: int, visit: int
) -> None:
    order = epoch_order(scene_numbers(sizes), seed, epoch, lanes, visit)
    assert order.shape == (lanes, -(-sum(sizes) // lanes))
    assert sorted(order[order >= 0].tolist()) == list(range(sum(sizes)))
    assert (order[:, :-1] >= 0).all()


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    scenes = scene_numbers([200, 300])
    first = epoch_order(scenes, 1, 2, 8, 64)
    assert np.array_equal(first, epoch_order(scenes, 1, 2, 8, 64))
    assert not np.array_equal(first, epoch_order(scenes, 1, 3, 8, 64))
    assert not np.array_equal(first, epoch_order(scenes, 2, 2, 8, 64))


def test_a_lane_walks_through_one_scene_at_a_time() -> None:
    scenes = scene_numbers([500] * 20)
    order = epoch_order(scenes, 0, 0, 4, 100)
    changes = (np.diff(scenes[order], axis=1) != 0).sum(axis=1)
    # 2500 pairs a lane in visits of 100: some 25 changes, not 2500.
    assert changes.max() <= 27


def test_a_turn_mixes_scenes() -> None:
    scenes = scene_numbers([100] * 200)
    order = epoch_order(scenes, 0, 0, 64, 512)
    distinct = [len(np.unique(scenes[order[:, turn]])) for turn in range(order.shape[1] - 1)]
    assert min(distinct) > 45


def test_lanes_follow_the_amount_of_data() -> None:
    assert [lanes_for(pairs, 64) for pairs in (1, 15, 16, 410, 511, 512, 840_000)] == [
        1,
        1,
        2,
        32,
        32,
        64,
        64,
    ]


WEIGHTS = st.lists(st.tuples(st.floats(0.01, 100), st.integers(1, 5000)), min_size=1, max_size=5)


@given(WEIGHTS, st.integers(1, 128))
def test_lanes_follow_the_weights_and_every_data_set_has_one(
    sets: list[tuple[float, int]], most: int
) -> None:
    weights, pairs = [w for w, _ in sets], [p for _, p in sets]
    lanes = lanes_by_weight(weights, pairs, most)
    assert all(1 <= own <= count for own, count in zip(lanes, pairs, strict=True))
    assert sum(lanes) <= max(most, len(sets))
    if min(pairs) >= most and min(weights) / sum(weights) * most >= 1:
        assert sum(lanes) == max(most, len(sets))
        for own, weight in zip(lanes, weights, strict=True):
            assert abs(own - weight / sum(weights) * sum(lanes)) < len(sets)


def test_a_mixture_serves_the_longest_once_and_the_others_again_and_again() -> None:
    sizes = [300, 100]
    scenes = scene_numbers([100, 100, 100, 50, 50])
    starts = np.array([0, 300, 400])
    served = [mixed_order(scenes, starts, [4, 4], 5, epoch, 20) for epoch in range(3)]
    assert deal_of(starts, [4, 4]) == Deal(8, 75, tuple(range(8)))
    assert all(order.shape == (8, 75) for order in served)
    for order in served:
        big, small = (order[(order >= 300) == which] for which in (False, True))
        assert len(np.unique(big)) == sizes[0] == len(big)
        assert np.bincount(small - 300, minlength=100).tolist() == [3] * 100
    assert not np.array_equal(served[0], served[1])


def test_passes_of_a_mixture_go_on_where_the_epoch_before_stopped() -> None:
    # 80 pairs in two lanes take 40 turns, an epoch takes 100: passes end in the middle of epochs.
    scenes, starts = scene_numbers([200, 80]), np.array([0, 200, 280])
    turns = np.concatenate([mixed_order(scenes, starts, [2, 2], 1, epoch, 16) for epoch in range(4)], axis=1)
    small = turns[np.any(turns >= 200, axis=1)]
    for first in range(0, 400, 40):
        assert len(np.unique(small[:, first : first + 40])) == 80


def test_a_batch_smaller_than_a_turn_is_mixed_too() -> None:
    order = mixed_order(scene_numbers([4000, 4000]), np.array([0, 4000, 8000]), [32, 32], 0, 0, 64)
    for first in range(0, 64, 4):
        assert ((order[first : first + 4] >= 4000).sum(axis=0) == 2).all()


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
def test_the_deal_says_who_takes_part_in_the_last_turn(
    one: int, two: int, lanes_one: int, lanes_two: int, epoch: int
) -> None:
    lanes = [min(lanes_one, one), min(lanes_two, two)]
    starts = np.array([0, one, one + two])
    order = mixed_order(scene_numbers([one, two]), starts, lanes, 3, epoch, 10)
    deal = deal_of(starts, lanes)
    assert order.shape == (deal.lanes, deal.turns)
    assert (order[:, :-1] >= 0).all()
    assert tuple(np.flatnonzero(order[:, -1] >= 0).tolist()) == deal.last
    longest = 0 if one / lanes[0] >= two / lanes[1] else 1
    own = order[(order >= starts[longest]) & (order < starts[longest + 1])]
    assert sorted(own.tolist()) == list(range(starts[longest], starts[longest + 1]))
