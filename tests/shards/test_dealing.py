from __future__ import annotations

from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from shards.dealing import Deal, Place, advanced, places, share_of_worker


@st.composite
def deals(draw: st.DrawFn) -> Deal:
    lanes = draw(st.integers(1, 20))
    last = draw(st.sets(st.integers(0, lanes - 1), min_size=1))
    return Deal(lanes, draw(st.integers(1, 6)), tuple(sorted(last)))


def in_order(deal: Deal, epoch: int, count: int) -> list[tuple[int, int, int]]:
    """(epoch, turn, lane) one by one, by the plainest loop there is."""
    found: list[tuple[int, int, int]] = []
    while len(found) < count:
        for turn in range(deal.turns):
            for lane in range(deal.lanes):
                if turn < deal.turns - 1 or lane in deal.last:
                    found.append((epoch, turn, lane))
        epoch += 1
    return found[:count]


def one_by_one(served: list[Place]) -> list[tuple[int, int, int]]:
    return [(place.epoch, place.turn, lane) for place in served for lane in place.lanes]


def of_rank(
    deal: Deal, epoch: int, sample: int, rank: int, ranks: int, count: int
) -> list[tuple[int, int, int]]:
    served: list[tuple[int, int, int]] = []
    for place in places(deal, epoch, sample, rank, ranks):
        served += one_by_one([place])
        if len(served) >= count:
            return served[:count]
    raise AssertionError


# With the two below: ten thousand topologies, and no process is started for one of them.
@settings(max_examples=5000, deadline=None)
@given(deals(), st.integers(0, 3), st.integers(1, 7), st.integers(1, 30), st.integers(1, 7), st.data())
def test_a_run_stopped_anywhere_and_resumed_on_other_ranks_serves_every_sample_once(
    deal: Deal, epoch: int, ranks: int, steps: int, ranks_after: int, data: st.DataObject
) -> None:
    sample = data.draw(st.integers(0, deal.samples - 1))
    each = data.draw(st.integers(1, 5))
    whole = in_order(deal, epoch, sample + (steps * ranks + 10 * ranks_after) * each)[sample:]
    before = [of_rank(deal, epoch, sample, rank, ranks, steps * each) for rank in range(ranks)]
    # Step after step the ranks together hold the next samples of the order.
    for step in range(steps):
        together = sorted(one for part in before for one in part[step * each : (step + 1) * each])
        assert together == whole[step * ranks * each : (step + 1) * ranks * each]
    there = advanced(deal, epoch, sample, steps * ranks * each)
    after = [of_rank(deal, *there, rank, ranks_after, 10 * each) for rank in range(ranks_after)]
    assert sorted(one for part in after for one in part) == whole[steps * ranks * each :]


@settings(max_examples=5000, deadline=None)
@given(deals(), st.integers(1, 8), st.integers(1, 8), st.data())
def test_workers_share_their_ranks_lanes_and_each_reads_its_own(
    deal: Deal, ranks: int, workers: int, data: st.DataObject
) -> None:
    rank = data.draw(st.integers(0, ranks - 1))
    seen: dict[int, set[int]] = {worker: set() for worker in range(workers)}
    for place in islice(places(deal, 0, 0, rank, ranks), 12):
        parts = [share_of_worker(place, worker, workers, ranks) for worker in range(workers)]
        assert sorted(lane for part in parts for lane in part.lanes) == list(place.lanes)
        for worker, part in enumerate(parts):
            seen[worker] |= set(part.lanes)
    assert sum(len(lanes) for lanes in seen.values()) == len(set().union(*seen.values()))


@given(st.integers(1, 8), st.integers(1, 10), st.integers(2, 6))
def test_a_rank_keeps_its_lanes_where_ranks_divide_them(each: int, turns: int, ranks: int) -> None:
    deal = Deal(each * ranks, turns, tuple(range(each * ranks)))
    for rank in range(ranks):
        for place in islice(places(deal, 0, 0, rank, ranks), 3 * turns):
            assert place.lanes == tuple(range(rank, each * ranks, ranks))
