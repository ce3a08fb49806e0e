"""One training sample out of two decoded frames: matches, and on request windows, geometry and depth."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pri3d_data.chunk import crop_chunk
from pri3d_data.registration import depth_of_colors
from pri3d_data.voxel_matches import sample_projected_voxels, sample_voxel_matches
from shards.frames import StoredFrame
from shards.match_rule import PAPER_RULE, MatchRule
from shards.pair_matches import find_matches
from shards.parts import Geometry
from shards.window import window_around

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
        depth_a, depth_b: (H, W) float32 metres of the colour pixels, 0 where nothing was measured and in all
            of a scene whose lengths are not metres; None where it was not asked for.
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


@dataclass(frozen=True)
class PairRecipe:
    """What a sample is to carry.

    Attributes:
        matches: most matches, and most pixel–voxel matches of each frame.
        size: (height, width) of the images: larger ones are cut around one of the pair's matches, smaller
            ones filled up with black. None takes them as they are.
        geometry: whose pixel–voxel matches, where there is a surface.
        depth: whether the depth of the colour pixels comes along.
    """

    matches: int = 1024
    size: tuple[int, int] | None = None
    geometry: GeometryRule = "none"
    depth: bool = False


def match_pair(
    scene: str,
    a: StoredFrame,
    b: StoredFrame,
    recipe: PairRecipe,
    draw: str,
    *,
    rule: MatchRule = PAPER_RULE,
    row: int = 0,
    surface: Geometry | None = None,
    metric: bool = True,
) -> Pair:
    """Two decoded frames as a sample.

    Args:
        scene: their scene.
        a, b: the frames, the one with the lower number first.
        recipe: what it is to carry.
        draw: names the random draw; the same name draws the same window and matches of the same pair.
        rule, row: how they match; see `shards.pair_matches.find_matches`.
        surface: the scene's geometry; without it the sample has no chunks.
        metric: whether the scene's lengths are metres; if not, its depth counts as unmeasured.

    Raises:
        DataError: the frames have not what the rule needs.
    """
    name = f"{draw}/{scene}/{a.frame}/{b.frame}"
    if recipe.size is not None:
        a, b = _cut_out(a, b, rule, row, recipe.size, f"{name}/window")
    found = find_matches(a, b, rule, row, recipe.matches, _number(name))
    pair = Pair(scene, a.frame, b.frame, a.image, b.image, found)
    if surface is not None and recipe.geometry != "none":
        chunk_a, chunk_b = (
            frame_chunk(frame, surface, recipe.geometry, recipe.matches, _number(f"{name}/{side}"))
            for side, frame in (("chunk_a", a), ("chunk_b", b))
        )
        pair = replace(pair, chunk_a=chunk_a, chunk_b=chunk_b)
    if recipe.depth:
        pair = replace(pair, depth_a=_depth(a, metric), depth_b=_depth(b, metric))
    return pair


def frame_chunk(
    frame: StoredFrame, surface: Geometry, geometry: Literal["paper", "reference"], matches: int, seed: int
) -> Chunk:
    """A frame's chunk with pixel–voxel matches drawn by ``seed``; an empty one for a frame without depth.

    A pixel matches the voxel whose centre lies no farther from its point than a voxel's edge, which for the
    paper's voxels is its 2 cm (section 3.2). A chunk is cropped anew for every pair: that takes a fraction of
    a millisecond, and a chunk more memory than the decoded frame it would be kept beside.
    """
    if frame.chunk_box_m is None:
        return Chunk(np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.int32))
    voxels, colors = crop_chunk(surface.voxels, surface.colors, surface.voxel_m, frame.chunk_box_m)
    if geometry == "paper":
        found = sample_voxel_matches(frame.view, voxels, surface.voxel_m, surface.voxel_m, matches, seed)
    else:
        found = sample_projected_voxels(frame.view, voxels, surface.voxel_m, VOXEL_TOLERANCE_M, matches, seed)
    return Chunk(voxels, colors, found)


def _cut_out(
    a: StoredFrame, b: StoredFrame, rule: MatchRule, row: int, size: tuple[int, int], draw: str
) -> tuple[StoredFrame, StoredFrame]:
    """Windows of both frames around one of their matches, or around their middles where there is none."""
    if a.image.shape[:2] == size == b.image.shape[:2]:
        return a, b
    around = find_matches(a, b, rule, row, 1, _number(draw))
    if len(around):
        xa, ya, xb, yb = (int(value) for value in around[0])
    else:
        xa, ya, xb, yb = (side // 2 for f in (a, b) for side in (f.view.width, f.view.height))
    return window_around(a, xa, ya, size), window_around(b, xb, yb, size)


def _depth(frame: StoredFrame, metric: bool) -> NDArray[np.float32]:
    if not metric:
        return np.zeros(frame.image.shape[:2], np.float32)
    seen = depth_of_colors(frame.view)
    # A window may reach beyond its image.
    height, width = (whole - part for whole, part in zip(frame.image.shape, seen.shape, strict=False))
    return np.pad(seen, ((0, height), (0, width))) if height or width else seen


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "little")
