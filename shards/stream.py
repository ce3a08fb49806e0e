"""Pairs of decoded frames, streamed from shards: the trainer's view of any number of data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pri3d_data.errors import UsageError
from pri3d_data.matches import sample_matches
from shards.epoch import epoch_order, lanes_for
from shards.frame_cache import FrameCache
from shards.frames import StoredFrame
from shards.pair_index import PairIndex

MATCH_RADIUS_M = 0.02


@dataclass(frozen=True, eq=False)
class Pair:
    """One training sample.

    Attributes:
        scene, frame_a, frame_b: which frames.
        image_a, image_b: (H, W, 3) uint8 RGB. They are shared between the samples of a visit: do not write.
        matches: (M, 4) int16, columns x_a, y_a, x_b, y_b in pixels; a seeded random sample, M = 0 possible.
    """

    scene: str
    frame_a: int
    frame_b: int
    image_a: NDArray[np.uint8]
    image_b: NDArray[np.uint8]
    matches: NDArray[np.int16]


class PairStream:
    """Every pair of some data sets, epoch after epoch, in an order that seed and epoch alone decide.

    Args:
        datasets: folders or URLs that `pri3d-data build` wrote.
        seed: of the order and of the matches drawn.
        matches: most matches a pair carries.
        lanes: how many places of the data a stretch of the stream mixes; fewer where there are few pairs.
        pairs_per_visit: most pairs taken from a scene at a time.
        cache_mb: memory for decoded frames in every process that iterates; with less than its lanes' scenes
            take, frames are decoded more than once a visit.
        scenes: keeps a scene where it returns True.

    Raises:
        UsageError: there are no pairs to stream.
    """

    def __init__(
        self,
        datasets: Sequence[str],
        *,
        seed: int,
        matches: int = 1024,
        lanes: int = 64,
        pairs_per_visit: int = 1024,
        cache_mb: int = 2048,
        scenes: Callable[[str], bool] | None = None,
    ) -> None:
        self.index = PairIndex(datasets, scenes)
        if len(self.index.pair_scene) == 0:
            raise UsageError(
                f"No pairs to stream from {', '.join(datasets)}: the scenes asked for are not there, or no "
                "two of their frames overlap enough. `pri3d-data stats` shows what is in a data set."
            )
        self.seed = seed
        self.matches = matches
        self.pairs_per_visit = pairs_per_visit
        self.cache_mb = cache_mb
        self.pairs = len(self.index.pair_scene)
        self.lanes = lanes_for(self.pairs, lanes)
        self.turns = self.pairs // self.lanes

    def iterate(self, epoch: int, lanes: Sequence[int], start_turn: int = 0) -> Iterator[list[Pair]]:
        """One list a turn, from ``start_turn``: the pairs of these lanes, in the order the lanes are given.

        Raises:
            DataError: a frame cannot be read or decoded.
        """
        order = epoch_order(self.index.pair_scene, self.seed, epoch, self.lanes, self.pairs_per_visit)
        cache = FrameCache(self.index, self.cache_mb << 20)
        for turn in range(start_turn, self.turns):
            yield [self.pair(int(order[lane, turn]), cache, epoch) for lane in lanes]

    def pair(self, number: int, cache: FrameCache, epoch: int = 0) -> Pair:
        """Pair ``number`` of the index with the matches that ``epoch`` draws."""
        index = self.index
        a, b = cache.get(int(index.pair_a[number])), cache.get(int(index.pair_b[number]))
        scene = index.scene_names[int(index.pair_scene[number])]
        return match_pair(scene, a, b, self.matches, f"{self.seed}/{epoch}")


def match_pair(scene: str, a: StoredFrame, b: StoredFrame, matches: int, draw: str) -> Pair:
    """Two decoded frames as a sample.

    Args:
        scene: their scene.
        a, b: the frames.
        matches: most matches to carry.
        draw: names the random draw; the same name draws the same matches of the same pair.
    """
    name = f"{draw}/{scene}/{a.frame}/{b.frame}".encode()
    seed = int.from_bytes(hashlib.blake2b(name, digest_size=7).digest(), "little")
    found = sample_matches(a.view, b.view, MATCH_RADIUS_M, matches, seed)
    return Pair(scene, a.frame, b.frame, a.image, b.image, found)
