from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shards.packing import pack

SIZES = st.lists(st.integers(1, 50), max_size=30)


@given(SIZES, st.integers(1, 100))
def test_every_scene_is_packed_once_in_order(sizes: list[int], target: int) -> None:
    assert [i for part in pack(sizes, target) for i in part] == list(range(len(sizes)))


@given(SIZES, st.integers(1, 100))
def test_a_shard_passes_the_target_only_with_a_single_scene(sizes: list[int], target: int) -> None:
    for part in pack(sizes, target):
        assert len(part) == 1 or sum(sizes[i] for i in part) <= target


@given(SIZES, SIZES, st.integers(1, 100))
def test_scenes_added_at_the_end_change_no_shard_but_the_last(
    sizes: list[int], more: list[int], target: int
) -> None:
    before = pack(sizes, target)
    assert pack(sizes + more, target)[: max(0, len(before) - 1)] == before[:-1]
