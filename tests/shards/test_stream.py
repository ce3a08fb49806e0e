from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pri3d_data.errors import DataError, UsageError
from shards import frame_cache
from shards.dealing import Place, places
from shards.pair import Pair
from shards.stream import PairStream

Writer = Callable[..., object]


def epoch_of(stream: PairStream, epoch: int = 0) -> list[Pair]:
    return [pair for turn in stream.epoch(epoch) for pair in turn]


def names(pairs: list[Pair]) -> list[tuple[str, int, int]]:
    return [(pair.scene, pair.frame_a, pair.frame_b) for pair in pairs]


def test_pairs_come_with_their_own_pixels_and_matches_within_both_images(kept: Any) -> None:
    stream = PairStream([str(kept.root)], seed=0, matches=50)
    for pair in epoch_of(stream):
        for frame, image in ((pair.frame_a, pair.image_a), (pair.frame_b, pair.image_b)):
            true = kept.images[pair.scene, frame].astype(int)
            assert np.abs(image.astype(int) - true).mean() < 8  # JPEG at quality 95 of noise
        assert pair.matches.shape == (50, 4)
        # All cameras look at a wall at nearly one depth from places 1 mm · frame apart: rows are kept, and a
        # pixel moves left by focal length · baseline / depth.
        shift = 40.0 * 0.001 * (pair.frame_b - pair.frame_a)
        moved = pair.matches[:, 0] - pair.matches[:, 2]
        assert (pair.matches[:, 1] == pair.matches[:, 3]).all()
        assert np.abs(moved - shift).max() <= 1.0


def test_an_epoch_serves_every_pair_once(kept: Any) -> None:
    stream = PairStream([str(kept.root)], seed=3, lanes=7)
    served = names(epoch_of(stream))
    assert len(served) == stream.deal.samples == len(kept.pairs)
    assert set(served) == kept.pairs


def test_lanes_can_be_served_apart_and_give_the_same_pairs(kept: Any) -> None:
    stream = PairStream([str(kept.root)], seed=3, lanes=4)
    whole = list(stream.epoch(5))
    for lane in range(4):
        alone = list(stream.serve(Place(5, turn, (lane,)) for turn in range(15)))
        assert names([pair for turn in alone for pair in turn]) == names([turn[lane] for turn in whole])
        for turn, together in zip(alone, whole, strict=True):
            assert np.array_equal(turn[0].matches, together[lane].matches)


def test_starting_anywhere_gives_the_rest(kept: Any) -> None:
    stream = PairStream([str(kept.root)], seed=3, lanes=4)
    whole = names(epoch_of(stream, 1)) + names(epoch_of(stream, 2))
    rest = islice(stream.serve(places(stream.deal, 1, 30)), 20)
    served = names([pair for turn in rest for pair in turn])
    assert served == whole[30 : 30 + len(served)]
    assert len(served) > 60


def test_the_identity_tells_orders_apart(kept: Any, written: Any) -> None:
    def identity(**settings: Any) -> str:
        return PairStream([str(kept.root)], **{"seed": 0, **settings}).identity

    assert identity() == identity(matches=7, cache_mb=5) == PairStream([str(written.root)], seed=0).identity
    others = [
        identity(seed=1),
        identity(lanes=2),
        identity(pairs_per_visit=3),
        identity(scenes=lambda scene: scene != "scene0002_00"),
        PairStream([str(kept.root), str(written.root)], seed=0).identity,
        PairStream([str(kept.root), str(written.root)], seed=0, weights=[1, 2]).identity,
    ]
    assert len({identity(), *others}) == 7


def test_seed_and_epoch_decide_order_and_matches(kept: Any) -> None:
    def served(seed: int, epoch: int) -> list[tuple[str, int, int]]:
        return names(epoch_of(PairStream([str(kept.root)], seed=seed), epoch))

    assert served(0, 0) == served(0, 0)
    assert served(0, 0) != served(0, 1)
    assert served(0, 0) != served(1, 0)


def test_each_frame_is_decoded_once_a_visit(kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    true = frame_cache.decode_frame
    monkeypatch.setattr(
        frame_cache,
        "decode_frame",
        lambda data, file, offset: decoded.append(offset) or true(data, file, offset),
    )
    stream = PairStream([str(kept.root)], seed=0)
    served = epoch_of(stream)
    frames = {(pair.scene, frame) for pair in served for frame in (pair.frame_a, pair.frame_b)}
    assert len(decoded) == len(frames) == 24


def test_a_small_cache_costs_time_but_not_pairs(kept: Any) -> None:
    roomy = PairStream([str(kept.root)], seed=0)
    tight = PairStream([str(kept.root)], seed=0, cache_mb=0)
    assert names(epoch_of(tight)) == names(epoch_of(roomy))


def test_scenes_can_be_left_out(kept: Any) -> None:
    stream = PairStream([str(kept.root)], seed=0, lanes=1, scenes=lambda scene: scene == "scene0002_00")
    assert {pair.scene for pair in epoch_of(stream)} == {"scene0002_00"}
    assert stream.pairs == 15


def test_no_pairs_is_said_with_a_way_out(kept: Any) -> None:
    with pytest.raises(UsageError, match="pri3d-data stats"):
        PairStream([str(kept.root)], seed=0, scenes=lambda scene: False)


def test_two_data_sets_stream_as_one(kept: Any, written: Any) -> None:
    stream = PairStream([str(kept.root), str(written.root)], seed=0, lanes=1)
    served = names(epoch_of(stream))
    assert sorted(served) == sorted([*kept.pairs, *written.pairs])


def test_a_folder_without_a_data_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"dataset\.json"):
        PairStream([str(tmp_path)], seed=0)


def test_a_broken_sample_names_its_shard_and_offset(written: Any) -> None:
    shard = written.root / "shards" / "shard-000000.tar"
    data = bytearray(shard.read_bytes())
    row = written.dataset.table("frames").to_pylist()[0]
    data[row["offset"] + 512 : row["offset"] + 612] = bytes(100)
    shard.write_bytes(bytes(data))
    with pytest.raises(DataError, match="verify") as caught:
        epoch_of(PairStream([str(written.root)], seed=0, lanes=1))
    assert caught.value.offset == row["offset"]
    assert caught.value.file.endswith("shard-000000.tar")


@pytest.mark.parametrize("where", [0.0, 0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_sample_with_one_flipped_bit_is_never_yielded(written: Any, where: float) -> None:
    shard = written.root / "shards" / "shard-000000.tar"
    data = bytearray(shard.read_bytes())
    row = written.dataset.table("frames").to_pylist()[1]
    data[row["offset"] + int(where * row["bytes"])] ^= 4
    shard.write_bytes(bytes(data))
    with pytest.raises(DataError, match="checksum") as caught:
        epoch_of(PairStream([str(written.root)], seed=0, lanes=1))
    assert caught.value.offset == row["offset"]


def test_depth_of_the_colour_pixels_comes_when_asked_for(kept: Any) -> None:
    assert epoch_of(PairStream([str(kept.root)], seed=0))[0].depth_a is None
    for pair in epoch_of(PairStream([str(kept.root)], seed=0, depth=True)):
        for frame, depth_m in ((pair.frame_a, pair.depth_a), (pair.frame_b, pair.depth_b)):
            assert depth_m is not None
            assert np.allclose(depth_m, kept.depths[pair.scene, frame] * 1e-3, atol=1e-6)


def test_weights_decide_the_share_of_each_data_set(kept: Any, written: Any) -> None:
    both = [str(kept.root), str(written.root)]
    stream = PairStream(both, seed=0, lanes=8, weights=[3, 1])
    first_of_second = len(kept.pairs)
    for lane in stream.order(0):
        assert (lane >= first_of_second).all() or (lane < first_of_second).all()
    shares = (stream.order(0) >= first_of_second).mean(axis=0)
    assert (shares == 0.25).all()


@pytest.mark.parametrize("weights", [[1.0, 0.0], [1.0, float("inf")]])
def test_a_weight_that_means_nothing_is_said(kept: Any, written: Any, weights: list[float]) -> None:
    with pytest.raises(UsageError, match="weight"):
        PairStream([str(kept.root), str(written.root)], seed=0, weights=weights)


def test_images_can_be_cut_around_a_match(kept: Any) -> None:
    stream = PairStream([str(kept.root)], seed=0, size=(16, 24), matches=40)
    corners = set()
    for pair in epoch_of(stream):
        assert pair.image_a.shape == pair.image_b.shape == (16, 24, 3)
        assert 0 < len(pair.matches) <= 40
        assert (pair.matches >= 0).all()
        assert (pair.matches < [24, 16, 24, 16]).all()
        true = kept.images[pair.scene, pair.frame_a].astype(int)
        gaps = [
            (np.abs(pair.image_a.astype(int) - true[y : y + 16, x : x + 24]).mean(), x, y)
            for y in range(17)
            for x in range(25)
        ]
        gap, x, y = min(gaps)
        assert gap < 8
        corners.add((x, y))
    assert len(corners) > 10


def test_images_larger_than_what_is_stored_are_filled_up(kept: Any) -> None:
    stream = PairStream([str(kept.root)], seed=0, size=(64, 64), matches=40)
    pair = epoch_of(stream)[0]
    assert pair.image_a.shape == (64, 64, 3)
    assert not pair.image_a[32:].any()
    assert len(pair.matches) == 40
