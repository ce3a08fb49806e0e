import json
import os
import signal
from itertools import islice

import numpy as np
import pytest
from pretend_stream import PretendStream

from pri3d_data.errors import DataError, StorageError, UsageError
from pri3d_train.loader import PairLoader
from pri3d_train.pair_batch import stack_pairs


def samples(loader, batches):
    return [[(pair.frame_b, pair.frame_a) for pair in batch] for batch in islice(loader, batches)]


def expected(stream, count):
    """(epoch, number in the epoch) of the first samples, in the order the stream promises."""
    per_epoch = stream.deal.samples
    return [divmod(number, per_epoch) for number in range(count)]


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_the_order_is_the_stream_s_whatever_the_number_of_workers(workers):
    stream = PretendStream()
    batches = samples(PairLoader(stream, batch_size=5, workers=workers), 9)
    assert [one for batch in batches for one in batch] == expected(stream, 45)


@pytest.mark.parametrize(("ranks", "workers"), [(2, 0), (3, 0), (2, 2)])
def test_ranks_together_read_every_sample_once_and_each_step_the_same_ones(ranks, workers):
    stream = PretendStream()
    parts = [
        samples(PairLoader(stream, batch_size=6 // ranks, rank=r, ranks=ranks, workers=workers), 7)
        for r in range(ranks)
    ]
    steps = [sorted(one for part in parts for one in part[step]) for step in range(7)]
    assert [one for step in steps for one in step] == expected(stream, 42)


@pytest.mark.parametrize("done", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("ranks_after", [1, 2])
def test_it_goes_on_with_the_next_pair_even_on_other_ranks(done, ranks_after):
    stream = PretendStream()
    first = PairLoader(stream, batch_size=4)
    samples(first, done)
    rest = [
        samples(PairLoader(stream, batch_size=2, rank=r, ranks=ranks_after, state=first.state()), 4)
        for r in range(ranks_after)
    ]
    if ranks_after == 1:
        assert [one for batch in rest[0] for one in batch] == expected(stream, 4 * done + 8)[4 * done :]
    else:
        together = sorted(one for part in rest for batch in part for one in batch)
        assert together == expected(stream, 4 * done + 16)[4 * done :]


def test_resuming_reads_no_turn_before_the_one_it_stands_in():
    class Counting(PretendStream):
        served = ()

        def pair(self, epoch, turn, lane):
            self.served = (*self.served, (epoch, turn, lane))
            return super().pair(epoch, turn, lane)

    stream = Counting()
    state = {"version": 2, "epoch": 4, "sample": 14, "order": stream.identity}
    assert samples(PairLoader(stream, batch_size=2, state=state), 1) == [[(4, 14), (4, 15)]]
    assert min(stream.served) == (4, 2, 2)


@pytest.mark.parametrize(("ranks", "workers"), [(2, 0), (4, 0), (5, 0), (4, 2)])
def test_ranks_that_do_not_divide_the_lanes_share_every_sample_all_the_same(ranks, workers):
    stream = PretendStream(lanes=6, turns=3, in_last_turn=4)
    parts = [
        samples(PairLoader(stream, batch_size=2, rank=r, ranks=ranks, workers=workers), 12)
        for r in range(ranks)
    ]
    steps = [sorted(one for part in parts for one in part[step]) for step in range(12)]
    assert [one for step in steps for one in step] == expected(stream, 24 * ranks)


@pytest.mark.parametrize(("name", "other"), [("order", "0"), ("version", 1)])
def test_a_state_of_another_order_is_refused(name, other):
    state = {**PairLoader(PretendStream(), batch_size=2).state(), name: other}
    with pytest.raises(UsageError, match=name):
        PairLoader(PretendStream(), batch_size=2, state=state)


class Fatal(PretendStream):
    """Kills the process that reads the pair ``broken_at``, as the kernel does when memory runs out."""

    def pair(self, epoch, turn, lane):
        if turn * self.lanes + lane == self.broken_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().pair(epoch, turn, lane)


def test_a_killed_loader_process_ends_the_run_with_a_remedy():
    loader = PairLoader(Fatal(broken_at=7), batch_size=2, workers=2)
    with pytest.raises(StorageError, match=r"A loader process died .* fewer --workers"):
        samples(loader, 9)


def test_the_state_is_small_and_equal_on_all_ranks():
    loaders = [PairLoader(PretendStream(), batch_size=2, rank=rank, ranks=3) for rank in range(3)]
    for loader in loaders:
        samples(loader, 5)
    assert loaders[0].state() == loaders[1].state() == loaders[2].state()
    assert len(json.dumps(loaders[0].state())) < 1024


def test_more_ranks_than_lanes_are_refused():
    with pytest.raises(UsageError, match="at most 6 processes"):
        PairLoader(PretendStream(lanes=6), batch_size=2, ranks=7)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_stream_arrives_as_it_was_raised(workers):
    loader = PairLoader(PretendStream(broken_at=7), batch_size=2, workers=workers)
    with pytest.raises(DataError) as caught:
        samples(loader, 9)
    assert str(caught.value) == "shard-000.tar at byte 512: the JPEG is cut short."


def test_a_batch_pads_its_matches_and_says_which_are_real():
    stream = PretendStream(matches=5)
    pairs = [stream.pair(0, 0, lane) for lane in range(3)]
    pairs[1].matches = pairs[1].matches[:2]
    batch = stack_pairs(pairs, 7)
    assert batch.valid.sum(1).tolist() == [5, 2, 5]
    assert batch.matches[1, :2].tolist() == pairs[1].matches.tolist()
    assert np.array_equal(batch.image_b[2].numpy(), pairs[2].image_b)


def test_images_of_two_sizes_in_a_batch_are_named():
    pairs = [PretendStream(size=(8, 8)).pair(0, 0, 0), PretendStream(size=(8, 12)).pair(0, 0, 1)]
    with pytest.raises(UsageError, match=r"8x8 \(scene scene0\) and 8x12 \(scene scene1\).*--image-size"):
        stack_pairs(pairs, 16)


@pytest.mark.parametrize("match", [[8, 0, 0, 0], [0, 0, 0, 8], [0, -1, 0, 0]])
def test_a_match_outside_its_image_never_reaches_the_device(match):
    pair = PretendStream().pair(0, 0, 0)
    pair.matches = np.array([match], np.int16)
    with pytest.raises(DataError, match="outside"):
        stack_pairs([pair], 16)
