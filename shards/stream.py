"""Pairs of decoded frames, streamed from shards: the trainer's view of any number of data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pri3d_data.chunk import crop_chunk
from pri3d_data.errors import UsageError
from pri3d_data.matches import sample_matches
from pri3d_data.registration import depth_of_colors
from pri3d_data.voxel_matches import sample_projected_voxels, sample_voxel_matches
from shards.bundle import Geometry
from shards.epoch import epoch_order, lanes_for
from shards.frame_cache import FrameCache, OpenShards
from shards.frames import StoredFrame
from shards.geometry_cache import GeometryCache
from shards.pair_index import PairIndex

MATCH_RADIUS_M = 0.02
#: A pixel matches a voxel whose centre is no farther than this from its point (paper, section 3.2).
VOXEL_RADIUS_M = 0.02
#: The authors' code: where the voxel's projected depth differs from the pixel's by less.
VOXEL_TOLERANCE_M = 0.20

GeometryRule = Literal["none", "paper", "reference"]


@dataclass(frozen=True, eq=False)
class Chunk:
    """A frame's part of its scene's geometry, and which of its pixels see it (paper, section 3.2).

    Attributes:
        voxels: (C, 3) int32 grid coordinates, sorted: those whose centre lies in the frame's chunk box.
        colors: (C, 3) uint8 RGB.
        matches: (K, 3) int32, columns x, y (colour pixel) and row of ``voxels``; a seeded random sample.
            C = 0 and K = 0 possible.
    """

    voxels: NDArray[np.int32]
    colors: NDArray[np.uint8]
    matches: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Pair:
    """One training sample.

    Attributes:
        scene, frame_a, frame_b: which frames.
        image_a, image_b: (H, W, 3) uint8 RGB. They are shared between the samples of a visit: do not write.
        matches: (M, 4) int16, columns x_a, y_a, x_b, y_b in pixels; a seeded random sample, M = 0 possible.
        chunk_a, chunk_b: the frames' geometry; None where none was asked for or the scene has none.
        depth_a, depth_b: (H, W) float32 metres of the colour pixels, 0 where nothing was measured; None
            where it was not asked for.
    """

    scene: str
    frame_a: int
    frame_b: int
    image_a: NDArray[np.uint8]
    image_b: NDArray[np.uint8]
    matches: NDArray[np.int16]
    chunk_a: Chunk | None = None
    chunk_b: Chunk | None = None
    depth_a: NDArray[np.float32] | None = None
    depth_b: NDArray[np.float32] | None = None


class PairStream:
    """Every pair of some data sets, epoch after epoch, in an order that seed and epoch alone decide.

    Args:
        datasets: folders or URLs that `pri3d-data build` wrote.
        seed: of the order and of the matches drawn.
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
        if len(self.index.pair_scene) == 0:
            raise UsageError(
                f"No pairs to stream from {', '.join(datasets)}: the scenes asked for are not there, or no "
                "two of their frames overlap enough. `pri3d-data stats` shows what is in a data set."
            )
        self.seed = seed
        self.matches = matches
        self.pairs_per_visit = pairs_per_visit
        self.cache_mb = cache_mb
        self.geometry: GeometryRule = geometry
        self.depth = depth
        self.pairs = len(self.index.pair_scene)
        self.lanes = lanes_for(self.pairs, lanes)
        self.turns = self.pairs // self.lanes

    @property
    def has_geometry(self) -> bool:
        """Whether some scene of those streamed has voxels, asked for or not."""
        return bool(self.index.scene_voxels[self.index.pair_scene].any())

    def iterate(self, epoch: int, lanes: Sequence[int], start_turn: int = 0) -> Iterator[list[Pair]]:
        """One list a turn, from ``start_turn``: the pairs of these lanes, in the order the lanes are given.

        Raises:
            DataError: a frame or a scene's geometry cannot be read or decoded.
        """
        order = epoch_order(self.index.pair_scene, self.seed, epoch, self.lanes, self.pairs_per_visit)
        shards = OpenShards(self.index.shards)
        memory = self.cache_mb << 20
        surfaces: GeometryCache | None = None
        if self.geometry != "none" and self.has_geometry:
            surfaces = GeometryCache(self.index, memory // 4, shards)
            memory -= memory // 4
        cache = FrameCache(self.index, memory, shards)
        for turn in range(start_turn, self.turns):
            yield [self.pair(int(order[lane, turn]), cache, epoch, surfaces) for lane in lanes]

    def pair(
        self, number: int, cache: FrameCache, epoch: int = 0, surfaces: GeometryCache | None = None
    ) -> Pair:
        """Pair ``number`` of the index with what ``epoch`` draws; chunks only where ``surfaces`` is given."""
        index = self.index
        a, b = cache.get(int(index.pair_a[number])), cache.get(int(index.pair_b[number]))
        scene = int(index.pair_scene[number])
        surface = surfaces.get(scene) if surfaces is not None else None
        draw = f"{self.seed}/{epoch}"
        pair = match_pair(index.scene_names[scene], a, b, self.matches, draw, surface, self.geometry)
        if not self.depth:
            return pair
        return replace(pair, depth_a=depth_of_colors(a.view), depth_b=depth_of_colors(b.view))


def match_pair(
    scene: str,
    a: StoredFrame,
    b: StoredFrame,
    matches: int,
    draw: str,
    surface: Geometry | None = None,
    geometry: GeometryRule = "paper",
) -> Pair:
    """Two decoded frames as a sample.

    Args:
        scene: their scene.
        a, b: the frames.
        matches: most matches to carry, and most pixel–voxel matches of each frame.
        draw: names the random draw; the same name draws the same matches of the same pair.
        surface: the scene's geometry; without it the sample has no chunks.
        geometry: whose pixel–voxel matches.
    """
    name = f"{draw}/{scene}/{a.frame}/{b.frame}"
    found = sample_matches(a.view, b.view, MATCH_RADIUS_M, matches, _number(name))
    if surface is None or geometry == "none":
        return Pair(scene, a.frame, b.frame, a.image, b.image, found)
    chunk_a, chunk_b = (
        frame_chunk(frame, surface, geometry, matches, _number(f"{name}/{side}"))
        for side, frame in (("chunk_a", a), ("chunk_b", b))
    )
    return Pair(scene, a.frame, b.frame, a.image, b.image, found, chunk_a, chunk_b)


def frame_chunk(
    frame: StoredFrame, surface: Geometry, geometry: Literal["paper", "reference"], matches: int, seed: int
) -> Chunk:
    """A frame's chunk with pixel–voxel matches drawn by ``seed``.

    It is cropped anew for every pair: that takes a fraction of a millisecond, and a chunk more memory than
    the decoded frame it would be kept beside.
    """
    voxels, colors = crop_chunk(surface.voxels, surface.colors, surface.voxel_m, frame.chunk_box_m)
    if geometry == "paper":
        found = sample_voxel_matches(frame.view, voxels, surface.voxel_m, VOXEL_RADIUS_M, matches, seed)
    else:
        found = sample_projected_voxels(frame.view, voxels, surface.voxel_m, VOXEL_TOLERANCE_M, matches, seed)
    return Chunk(voxels, colors, found)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "little")
