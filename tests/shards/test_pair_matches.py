from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pri3d_data.errors import DataError
from pri3d_data.matches import View
from shards.frames import StoredFrame
from shards.match_rule import MatchRule
from shards.pair_matches import find_matches
from shards.parts import Tracks

HEIGHT, WIDTH = 24, 32
POSE_B = np.array([[1.0, 0, 0, 0.05], [0, 1.0, 0, 0.02], [0, 0, 1.0, -0.1], [0, 0, 0, 1.0]])
CAMERA = np.array([30.0, 31.0, 15.5, 11.5])


def frame(
    pose: NDArray[np.float64],
    depth: NDArray[np.uint16] | None = None,
    tracks: Tracks | None = None,
    bits: NDArray[np.uint8] | None = None,
) -> StoredFrame:
    depth = np.zeros((0, 0), np.uint16) if depth is None else depth
    view = View(depth, 0.001, CAMERA, pose, CAMERA, pose, WIDTH, HEIGHT)
    return StoredFrame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), view, None, 7, tracks, bits)


def carried(row: int, column: int, z: float) -> tuple[int, int, int, int]:
    """Where a pixel of the first frame falls in the second: OpenCV's own way, with matrices in float64."""
    k = np.array([[CAMERA[0], 0, CAMERA[2]], [0, CAMERA[1], CAMERA[3]], [0, 0, 1.0]])
    point = np.append(np.linalg.inv(k) @ [column, row, 1.0] * z, 1.0)
    u, v, w = k @ (np.linalg.inv(POSE_B) @ point)[:3]
    return column, row, int(np.floor(u / w + 0.5)), int(np.floor(v / w + 0.5))


def sparse_depth(seed: int) -> NDArray[np.uint16]:
    random = np.random.default_rng(seed)
    depth = random.integers(800, 3000, (HEIGHT, WIDTH)).astype(np.uint16)
    depth[random.random((HEIGHT, WIDTH)) < 0.8] = 0
    return depth


def test_stored_matches_are_the_measured_pixels_whose_bit_is_set() -> None:
    depth = sparse_depth(1)
    measured = np.argwhere(depth)
    keep = np.random.default_rng(2).random((3, len(measured))) < 0.5
    bits = np.packbits(keep, axis=1)
    a, b = frame(np.eye(4), depth, bits=bits), frame(POSE_B, sparse_depth(3))
    for row in range(3):
        ends = [carried(y, x, depth[y, x] * 0.001) for y, x in measured[keep[row]].tolist()]
        inside = {end for end in ends if 0 <= end[2] < WIDTH and 0 <= end[3] < HEIGHT}
        found = find_matches(a, b, MatchRule("stored"), row, 10_000, 0)
        assert 20 < len(found) == len({tuple(m) for m in found.tolist()})
        assert {tuple(m) for m in found.tolist()} == inside


@pytest.mark.parametrize("bits", [None, np.zeros((1, 3), np.uint8), np.zeros((0, 20), np.uint8)])
def test_stored_matches_that_do_not_go_with_the_frame_are_said(bits: NDArray[np.uint8] | None) -> None:
    a, b = frame(np.eye(4), sparse_depth(1), bits=bits), frame(POSE_B, sparse_depth(3))
    with pytest.raises(DataError, match=r"stored matches.*verify"):
        find_matches(a, b, MatchRule("stored"), 0, 10, 0)


def test_tracks_match_where_both_frames_observe_the_point_inside_the_image() -> None:
    ta = Tracks(np.array([1, 4, 6, 9], np.int32), np.array([[3.4, 5.5], [7, 8], [1, 1], [2, 30]], np.float32))
    tb = Tracks(np.array([0, 1, 6, 9], np.int32), np.array([[0, 0], [9.6, 2], [-0.6, 4], [5, 5]], np.float32))
    found = find_matches(frame(np.eye(4), tracks=ta), frame(POSE_B, tracks=tb), MatchRule("tracks"), 0, 10, 0)
    # Point 4 is in one frame only, 6 falls out of the second image and 9 out of the first.
    assert found.tolist() == [[3, 6, 10, 2]]


def test_a_frame_without_tracks_is_said() -> None:
    with pytest.raises(DataError, match=r"frame 7.*tracks"):
        find_matches(frame(np.eye(4)), frame(POSE_B), MatchRule("tracks"), 0, 10, 0)


def test_a_limited_sample_is_without_repeats_and_every_match_is_drawn_now_and_then() -> None:
    ids = np.arange(50, dtype=np.int32)
    pixels = np.stack([np.arange(50) % WIDTH, np.arange(50) // WIDTH], axis=1).astype(np.float32)
    a, b = (frame(pose, tracks=Tracks(ids, pixels)) for pose in (np.eye(4), POSE_B))
    seen: set[tuple[int, ...]] = set()
    for seed in range(60):
        sample = {tuple(m) for m in find_matches(a, b, MatchRule("tracks"), 0, 8, seed).tolist()}
        assert len(sample) == 8
        seen |= sample
    assert len(seen) == 50


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        (MatchRule("radius", 0.02), 0),
        (MatchRule("radius", 0.11), HEIGHT * WIDTH),
        (MatchRule("depth", 0.09), 0),
        (MatchRule("depth", 0.11), HEIGHT * WIDTH),
        (MatchRule("relative_depth", 0.04), 0),
        (MatchRule("relative_depth", 0.06), HEIGHT * WIDTH),
    ],
)
def test_two_depths_agree_by_distance_by_depth_or_by_share_of_depth(rule: MatchRule, count: int) -> None:
    # One camera, which measures the same wall at 2 m and at 2.1 m; a corner's ray is 1.22 times as long.
    a, b = (frame(np.eye(4), np.full((HEIGHT, WIDTH), z, np.uint16)) for z in (2000, 2100))
    found = find_matches(a, b, rule, 0, HEIGHT * WIDTH, 0)
    if rule == MatchRule("radius", 0.11):
        assert 0 < len(found) < count
    else:
        assert len(found) == count


@pytest.mark.parametrize(("name", "tolerance"), [("near", 0.1), ("radius", -1.0), ("depth", float("nan"))])
def test_a_rule_nobody_can_follow_is_refused(name: str, tolerance: float) -> None:
    with pytest.raises(ValueError, match=r"rule|tolerance"):
        MatchRule(name, tolerance)  # type: ignore[arg-type]
