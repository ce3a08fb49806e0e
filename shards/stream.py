"""Pairs of decoded frames, streamed from shards: the trainer's view of any number of data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pri3d_data.errors import UsageError
from shards.dealing import Place
from shards.epoch import deal_of, lanes_by_weight, lanes_for, mixed_order
from shards.frame_cache import FrameCache, OpenShards
from shards.geometry_cache import GeometryCache
from shards.pair import GeometryRule, Pair, PairRecipe, match_pair
from shards.pair_index import PairIndex

#: What images are cut to where they are not all of one size (the paper's, section 4).
DEFAULT_SIZE = (240, 320)


class PairStream:
    """Every pair of some data sets, epoch after epoch, in an order that seed and epoch alone decide.

    Args:
        datasets: folders or URLs that `pri3d-data build` wrote.
        seed: of the order and of the matches drawn.
        weights: share of each data set in every batch, in any unit; without them a pair counts as much as any
            other. An epoch is then one pass over the data set that lasts longest; the others begin again.
        size: (height, width) of the pairs' images. Larger ones are cut around one of the pair's matches,
            smaller ones filled up with black. None: as they are stored, if all have one size, else 240x320.
        matches: most matches a pair carries, and most pixel–voxel matches each of its chunks does.
        lanes: how many places of the data a stretch of the stream mixes; fewer where there are few pairs.
        pairs_per_visit: most pairs taken from a scene at a time.
        cache_mb: memory for decoded frames in every process that iterates, a quarter of it for geometry where
            that is asked for; with less than its lanes' scenes take, they are decoded more than once a visit.
        scenes: keeps a scene where it returns True.
        geometry: whether pairs carry chunks, and whose pixel–voxel matches: the paper's or the authors'
            code's. It changes neither the order of pairs nor their pixel–pixel matches.
        depth: whether pairs carry the depth of their colour pixels.

    Raises:
        UsageError: there are no pairs to stream, or no such ``geometry``.
    """

    def __init__(
        self,
        datasets: Sequence[str],
        *,
        seed: int,
        weights: Sequence[float] | None = None,
        size: tuple[int, int] | None = None,
        matches: int = 1024,
        lanes: int = 64,
        pairs_per_visit: int = 1024,
        cache_mb: int = 2048,
        scenes: Callable[[str], bool] | None = None,
        geometry: GeometryRule = "none",
        depth: bool = False,
    ) -> None:
        if geometry not in get_args(GeometryRule):
            raise UsageError(f"There is no geometry '{geometry}': {', '.join(get_args(GeometryRule))}.")
        self.index = PairIndex(datasets, scenes)
        if len(self.index.pairs.scene) == 0:
            raise UsageError(
                f"No pairs to stream from {', '.join(datasets)}: the scenes asked for are not there, or no "
                "two of their frames overlap enough. `pri3d-data stats` shows what is in a data set."
            )
        self.seed = seed
        self.pairs_per_visit = pairs_per_visit
        self.cache_mb = cache_mb
        self.pairs = len(self.index.pairs.scene)
        shown = np.concatenate([self.index.pairs.a, self.index.pairs.b])
        frames = self.index.frames
        used = np.unique(np.stack([frames.height[shown], frames.width[shown]], axis=1), axis=0)
        size = size or (DEFAULT_SIZE if len(used) > 1 else (int(used[0, 0]), int(used[0, 1])))
        self.recipe = PairRecipe(matches, size, geometry, depth)
        if weights is None:
            self._parts = np.array([0, self.pairs])
            self._lanes_of = [lanes_for(self.pairs, lanes)]
        else:
            self._parts = self.index.dataset_pairs
            self._lanes_of = lanes_by_weight(*_weighed(datasets, weights, np.diff(self._parts)), lanes)
        #: The shape of every epoch.
        self.deal = deal_of(self._parts, self._lanes_of)

    @property
    def lanes(self) -> int:
        """How many places of the data are mixed."""
        return self.deal.lanes

    @property
    def identity(self) -> str:
        """A digest of everything that decides the order of the stream, to tell whether it can be resumed."""
        index = self.index
        parts = (index.pairs.scene, index.frames.number[index.pairs.a], index.frames.number[index.pairs.b])
        digest = hashlib.blake2b("/".join(index.scene_names).encode(), digest_size=8)
        for part in (*parts, self._parts, np.array([*self._lanes_of, self.pairs_per_visit, self.seed])):
            digest.update(np.asarray(part, dtype=np.int64).tobytes())
        return digest.hexdigest()

    @property
    def has_geometry(self) -> bool:
        """Whether some scene of those streamed has voxels, asked for or not."""
        return bool(self.index.scenes.voxels[self.index.pairs.scene].any())

    def order(self, epoch: int) -> NDArray[np.int64]:
        """(lanes, turns) int64: which pair of the index every lane serves on every turn, -1 for none."""
        return mixed_order(
            self.index.pairs.scene, self._parts, self._lanes_of, self.seed, epoch, self.pairs_per_visit
        )

    def serve(self, wanted: Iterable[Place]) -> Iterator[list[Pair]]:
        """For every place the pairs of its lanes, in their order; see `shards.dealing.places`.

        Raises:
            DataError: a frame or a scene's geometry cannot be read or decoded.
        """
        shards = OpenShards(self.index.shards)
        memory = self.cache_mb << 20
        surfaces: GeometryCache | None = None
        if self.recipe.geometry != "none" and self.has_geometry:
            surfaces = GeometryCache(self.index, memory // 4, shards)
            memory -= memory // 4
        cache = FrameCache(self.index, memory, shards)
        epoch, order = -1, np.zeros((0, 0), np.int64)
        for place in wanted:
            if place.epoch != epoch:
                epoch, order = place.epoch, self.order(place.epoch)
            yield [self.pair(int(order[lane, place.turn]), cache, epoch, surfaces) for lane in place.lanes]

    def epoch(self, epoch: int) -> Iterator[list[Pair]]:
        """All pairs of an epoch, turn by turn."""
        turns = range(self.deal.turns)
        return self.serve(Place(epoch, turn, self.deal.lanes_of(turn)) for turn in turns)

    def pair(
        self, number: int, cache: FrameCache, epoch: int = 0, surfaces: GeometryCache | None = None
    ) -> Pair:
        """Pair ``number`` of the index with what ``epoch`` draws; chunks only where ``surfaces`` is given."""
        index = self.index
        a, b = cache.get(int(index.pairs.a[number])), cache.get(int(index.pairs.b[number]))
        scene = int(index.pairs.scene[number])
        return match_pair(
            index.scene_names[scene],
            a,
            b,
            self.recipe,
            f"{self.seed}/{epoch}",
            rule=index.scene_rule[scene],
            row=int(index.pairs.row[number]),
            surface=surfaces.get(scene) if surfaces is not None else None,
            metric=index.scene_metric[scene],
        )


def _weighed(
    datasets: Sequence[str], weights: Sequence[float], pairs: NDArray[np.int64]
) -> tuple[list[float], list[int]]:
    """Weights and pairs, checked.

    Raises:
        UsageError: a weight is not above 0, or a data set has no pairs to take a share.
    """
    for dataset, weight, count in zip(datasets, weights, pairs, strict=True):
        if not 0 < weight < float("inf"):
            raise UsageError(
                f"'{dataset}' cannot have weight {weight}: give a number above 0, or leave it out."
            )
        if not count:
            raise UsageError(f"'{dataset}' has no pairs to take its share of {weight}: leave it out.")
    return [float(weight) for weight in weights], pairs.tolist()
