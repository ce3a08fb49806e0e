from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pri3d_data.camera import Camera
from pri3d_data.matches import DISTANCE, Agreement, View, sample_matches

RADIUS_M = 0.02
AGREE = Agreement(DISTANCE, RADIUS_M)
UNIT_M = 1e-3
ALL = 1 << 30
DEPTH_CAMERA = Camera(64, 48, 55.0, 56.0, 31.25, 24.0)
COLOR_CAMERA = Camera(97, 73, 84.0, 83.0, 47.5, 37.25)
WALL_Z = 3.0
Pixels = NDArray[np.int16]
Pose = NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def entry(
        self, origin: NDArray[np.float64], directions: NDArray[np.float64], shrunk_m: float = 0.0
    ) -> NDArray[np.float64]:
        """Ray lengths, in multiples of the directions, at which the rays enter the box; inf where they miss."""
        with np.errstate(divide="ignore"):
            one = (np.array(self.low) + shrunk_m - origin) / directions
            other = (np.array(self.high) - shrunk_m - origin) / directions
        enter, leave = np.minimum(one, other).max(axis=-1), np.maximum(one, other).min(axis=-1)
        return np.where((enter <= leave) & (enter > 0), enter, np.inf)


PILLAR = Box((-0.25, -2.0, 1.4), (0.25, 2.0, 1.6))


def pose(position: tuple[float, float, float], turn: tuple[float, float, float] = (0, 0, 0)) -> Pose:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    matrix[:3, 3] = position
    return matrix


def rays(camera: Camera, to_world: Pose) -> NDArray[np.float64]:
    """(H, W, 3) world directions of the pixels' centres whose length along the camera's axis is 1."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width].astype(float)
    local = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], axis=-1)
    return np.asarray(local @ to_world[:3, :3].T)


def render(to_world: Pose, box: Box | None = None, camera: Camera = DEPTH_CAMERA) -> NDArray[np.uint16]:
    """Depth of the wall z = 3 m and of a box before it, in closed form, to the nearest millimetre."""
    directions = rays(camera, to_world)
    origin = to_world[:3, 3]
    with np.errstate(divide="ignore"):
        wall = (WALL_Z - origin[2]) / directions[..., 2]
    z = np.where(wall > 0, wall, np.inf)
    if box is not None:
        z = np.minimum(z, box.entry(origin, directions))
    return np.where(z < 60.0, np.round(np.where(z < 60.0, z, 0.0) / UNIT_M), 0).astype(np.uint16)


def view(
    depth: NDArray[np.uint16],
    depth_to_world: Pose,
    color: Camera = DEPTH_CAMERA,
    color_to_depth: Pose | None = None,
    depth_camera: Camera = DEPTH_CAMERA,
) -> View:
    color_to_world = depth_to_world if color_to_depth is None else depth_to_world @ color_to_depth
    return View(
        depth, UNIT_M, depth_camera.vector, depth_to_world, color.vector, color_to_world, color.width, color.height
    )  # fmt: skip


def world_points(depth: NDArray[np.uint16], to_world: Pose) -> NDArray[np.float64]:
    """(H, W, 3) world points of all pixels of a depth image of `DEPTH_CAMERA`."""
    return np.asarray(rays(DEPTH_CAMERA, to_world) * (depth * UNIT_M)[..., None] + to_world[:3, 3])


LEFT = pose((-0.4, 0.05, 0.0), (0.02, 0.15, -0.03))
RIGHT = pose((0.4, -0.03, 0.1), (-0.05, -0.12, 0.06))


def by_the_rule(a: View, b: View) -> set[tuple[int, int, int, int]]:
    """The documented rule, one pixel after the other, by 4×4 matrices through the world."""

    def point(frame: View, row: int, column: int) -> NDArray[np.float64]:
        fx, fy, cx, cy = frame.depth_camera
        z = float(frame.depth[row, column]) * frame.depth_unit
        return np.asarray(frame.depth_to_world @ [(column - cx) / fx * z, (row - cy) / fy * z, z, 1.0])

    def project(
        world: NDArray[np.float64], to_world: Pose, camera: NDArray[np.float64], width: int, height: int
    ) -> tuple[int, int] | None:
        x, y, z, _ = np.linalg.inv(to_world) @ world
        if z <= 0:
            return None
        column = math.floor(camera[0] * x / z + camera[2] + 0.5)
        row = math.floor(camera[1] * y / z + camera[3] + 0.5)
        return (row, column) if 0 <= column < width and 0 <= row < height else None

    def seen(world: NDArray[np.float64], frame: View) -> tuple[int, int] | None:
        """The depth pixel the point falls on, if the surface measured there is the same one."""
        height, width = frame.depth.shape
        at = project(world, frame.depth_to_world, frame.depth_camera, width, height)
        if at is None or frame.depth[at] == 0:
            return None
        return at if np.linalg.norm(point(frame, *at) - world) <= RADIUS_M else None

    found = set()
    for row, column in zip(*np.nonzero(a.depth), strict=True):
        ours = point(a, row, column)
        there = seen(ours, b)
        if there is None:
            continue
        theirs = point(b, *there)
        if seen(theirs, a) is None:
            continue
        in_a = project(ours, a.camera_to_world, a.camera, a.width, a.height)
        in_b = project(theirs, b.camera_to_world, b.camera, b.width, b.height)
        if in_a is not None and in_b is not None:
            found.add((in_a[1], in_a[0], in_b[1], in_b[0]))
    return found


def as_set(matches: Pixels) -> set[tuple[int, ...]]:
    return {tuple(match) for match in matches.tolist()}


@pytest.mark.parametrize("box", [None, PILLAR])
def test_the_two_pixels_of_every_match_see_points_within_the_radius(box: Box | None) -> None:
    depths = [render(LEFT, box), render(RIGHT, box)]
    matches = sample_matches(view(depths[0], LEFT), view(depths[1], RIGHT), AGREE, ALL, 0)
    assert matches.dtype == np.int16
    assert len(matches) > 300
    xa, ya, xb, yb = matches.T
    distance = np.linalg.norm(
        world_points(depths[0], LEFT)[ya, xa] - world_points(depths[1], RIGHT)[yb, xb], axis=1
    )
    assert distance.max() <= RADIUS_M + 1e-12


def test_a_bare_wall_seen_from_one_place_matches_every_pixel_to_itself() -> None:
    depth = render(LEFT)
    matches = sample_matches(view(depth, LEFT), view(depth, LEFT), AGREE, ALL, 3)
    np.testing.assert_array_equal(matches[:, :2], matches[:, 2:])
    assert len(as_set(matches)) == np.count_nonzero(depth) == len(matches)


def test_matches_follow_the_shift_of_the_camera() -> None:
    # 3 m away a step of 3 m / 55 px sideways moves the wall by one pixel.
    step = WALL_Z / DEPTH_CAMERA.fx
    a, b = pose((0, 0, 0)), pose((5 * step, 0, 0))
    matches = sample_matches(view(render(a), a), view(render(b), b), AGREE, ALL, 0)
    assert len(matches) == (64 - 5) * 48
    np.testing.assert_array_equal(matches[:, 0] - matches[:, 2], 5)
    np.testing.assert_array_equal(matches[:, 1], matches[:, 3])


def test_what_a_pillar_hides_from_one_camera_never_matches() -> None:
    depth_a, depth_b = render(LEFT, PILLAR), render(RIGHT, PILLAR)
    points = world_points(depth_a, LEFT)
    to_b = points - RIGHT[:3, 3]
    # Hidden by more than the radius, whatever pixel it falls on: the pillar shrunk by 6 cm still covers it.
    hidden = PILLAR.entry(RIGHT[:3, 3], to_b, shrunk_m=0.06) < 0.95
    ahead = to_b @ RIGHT[:3, 2] > 0
    assert np.count_nonzero(hidden & ahead) > 100
    matches = sample_matches(view(depth_a, LEFT), view(depth_b, RIGHT), AGREE, ALL, 0)
    assert len(matches) > 300
    assert not hidden[matches[:, 1], matches[:, 0]].any()
    bare = sample_matches(view(render(LEFT), LEFT), view(render(RIGHT), RIGHT), AGREE, ALL, 0)
    assert hidden[bare[:, 1], bare[:, 0]].any()


@pytest.mark.parametrize("noise_mm", [0, 8, 60])
@pytest.mark.parametrize("other_color", [False, True])
def test_all_matches_are_those_of_the_rule_applied_pixel_by_pixel(noise_mm: int, other_color: bool) -> None:
    random = np.random.default_rng(noise_mm)
    views = []
    for k, to_world in enumerate((LEFT, RIGHT)):
        depth = render(to_world, PILLAR).astype(int)
        depth = np.where(depth > 0, depth + random.integers(-noise_mm, noise_mm + 1, depth.shape), 0)
        depth[random.random(depth.shape) < 0.1] = 0
        offset = pose((0.05, 0.01 * k, -0.02), (0.01, 0.05, 0.02 * k)) if other_color else None
        color = COLOR_CAMERA if other_color else DEPTH_CAMERA
        views.append(view(depth.astype(np.uint16), to_world, color, offset))
    matches = sample_matches(views[0], views[1], AGREE, ALL, 5)
    expected = by_the_rule(views[0], views[1])
    assert as_set(matches) == expected
    assert len(expected) > 50


def test_the_number_of_pixels_as_limit_gives_all_matches() -> None:
    a, b = view(render(LEFT), LEFT), view(render(RIGHT), RIGHT)
    everything = sample_matches(a, b, AGREE, ALL, 0)
    assert as_set(sample_matches(a, b, AGREE, a.depth.size, 1)) == as_set(everything)


def test_matches_are_pixels_of_a_colour_camera_of_another_size_and_place() -> None:
    offset = pose((0.06, -0.02, 0.01), (0.0, 0.03, -0.02))
    a = view(render(LEFT, PILLAR), LEFT, COLOR_CAMERA, offset)
    b = view(render(RIGHT, PILLAR), RIGHT, COLOR_CAMERA, offset)
    matches = sample_matches(a, b, AGREE, ALL, 0)
    assert len(matches) > 300
    assert (matches >= 0).all()
    assert (matches[:, 0::2] < 97).all()
    assert (matches[:, 1::2] < 73).all()

    def gap_m(matches: Pixels) -> float:
        """How far apart the points lie that the colour cameras themselves see in a match's two pixels."""
        points = []
        for to_world, pixels in ((LEFT, matches[:, :2]), (RIGHT, matches[:, 2:])):
            color_to_world = to_world @ offset
            depth = render(color_to_world, PILLAR, COLOR_CAMERA) * UNIT_M
            seen = rays(COLOR_CAMERA, color_to_world) * depth[..., None] + color_to_world[:3, 3]
            points.append(seen[pixels[:, 1], pixels[:, 0]])
        return float(np.median(np.linalg.norm(points[0] - points[1], axis=1)))

    # A colour pixel's centre is up to 2.6 cm on the wall from its depth pixel's point, in either image.
    assert gap_m(matches) < 0.04
    without_offset = [view(a.depth, LEFT, COLOR_CAMERA, offset), view(b.depth, RIGHT, COLOR_CAMERA)]
    assert gap_m(sample_matches(*without_offset, AGREE, ALL, 0)) > 0.06


def test_colour_cameras_that_see_less_than_the_depth_cameras_bound_the_matches() -> None:
    half = Camera(32, 24, 55.0, 56.0, 15.25, 12.0)
    a, b = view(render(LEFT), LEFT, half), view(render(RIGHT), RIGHT, half)
    matches = sample_matches(a, b, AGREE, ALL, 0)
    assert 0 < len(matches) <= 32 * 24
    assert (matches >= 0).all()
    assert (matches < [32, 24, 32, 24]).all()


def test_a_colour_camera_that_looks_away_takes_no_part() -> None:
    backwards = pose((0, 0, 0), (0, math.pi, 0))
    a, b = view(render(LEFT), LEFT, DEPTH_CAMERA, backwards), view(render(RIGHT), RIGHT)
    assert len(sample_matches(a, b, AGREE, ALL, 0)) == 0
    assert len(sample_matches(b, a, AGREE, ALL, 0)) == 0


def test_depth_images_of_different_sizes_match_too() -> None:
    fine = Camera(128, 96, 110.0, 112.0, 63.0, 48.5)
    a = view(render(LEFT), LEFT)
    b = view(render(RIGHT, camera=fine), RIGHT, depth_camera=fine)
    matches = sample_matches(a, b, AGREE, ALL, 0)
    assert as_set(matches) == by_the_rule(a, b)
    assert len(matches) > 300


# ---- sampling


def test_a_sample_holds_as_many_matches_as_asked_for_each_once_and_all_true() -> None:
    a, b = view(render(LEFT, PILLAR), LEFT), view(render(RIGHT, PILLAR), RIGHT)
    everything = as_set(sample_matches(a, b, AGREE, ALL, 0))
    for limit in (0, 1, 2, 100, len(everything) - 1, len(everything), len(everything) + 1):
        sample = sample_matches(a, b, AGREE, limit, 42)
        assert sample.shape == (min(limit, len(everything)), 4)
        assert len(as_set(sample)) == len(sample)
        assert as_set(sample) <= everything


def test_the_same_seed_gives_the_same_sample_and_another_seed_another() -> None:
    a, b = view(render(LEFT), LEFT), view(render(RIGHT), RIGHT)
    first = sample_matches(a, b, AGREE, 200, 7)
    np.testing.assert_array_equal(sample_matches(a, b, AGREE, 200, 7), first)
    samples = {sample_matches(a, b, AGREE, 200, seed).tobytes() for seed in range(50)}
    assert len(samples) == 50


@pytest.mark.parametrize("first_seed", [0, 2**31, 2**62])
def test_every_match_is_sampled_about_equally_often(first_seed: int) -> None:
    a, b = view(render(LEFT), LEFT), view(render(RIGHT), RIGHT)
    everything = sorted(as_set(sample_matches(a, b, AGREE, ALL, 0)))
    number = {match: i for i, match in enumerate(everything)}
    limit, rounds = len(everything) // 10, 600
    times = np.zeros(len(everything))
    for seed in range(first_seed, first_seed + rounds):
        for match in as_set(sample_matches(a, b, AGREE, limit, seed)):
            times[number[match]] += 1  # type: ignore[index]
    share = limit / len(everything)
    expected = rounds * share
    # Chi-square per match is 1 for independent fair draws.
    assert 0.7 < np.mean((times - expected) ** 2) / (expected * (1 - share)) < 1.4
    assert times.min() > 0.4 * expected
    assert times.max() < 1.8 * expected


def test_a_sample_spreads_over_the_image_like_all_matches_do() -> None:
    a, b = view(render(LEFT), LEFT), view(render(RIGHT), RIGHT)
    everything = sample_matches(a, b, AGREE, ALL, 0)
    for seed in range(20):
        sample = sample_matches(a, b, AGREE, 400, seed)
        error = np.abs(sample.mean(axis=0) - everything.mean(axis=0)) / everything.std(axis=0)
        assert error.max() < 5 / np.sqrt(400)


def test_a_sample_falls_into_no_regular_pattern() -> None:
    depth = render(LEFT)
    a = view(depth, LEFT)
    for seed in range(20):
        x, y = sample_matches(a, a, AGREE, 400, seed)[:, :2].astype(int).T
        steps = np.diff(y * 64 + x)
        assert len(np.unique(steps)) > 300
        # Neighbours in the sample are no nearer to each other than chance brings them.
        assert abs(np.corrcoef((y * 64 + x)[:-1], (y * 64 + x)[1:])[0, 1]) < 0.25


# ---- nothing to match


@pytest.mark.parametrize("limit", [10, ALL])
def test_frames_with_nothing_in_common_give_an_empty_table(limit: int) -> None:
    wall = render(LEFT)
    hole = np.zeros_like(wall)
    away = pose((-0.4, 0, 0), (0, math.pi, 0))
    far = pose((500.0, 0, 0))
    for depth_a, depth_b, pose_b in (
        (hole, wall, LEFT),
        (wall, hole, LEFT),
        (hole, hole, LEFT),
        (wall, np.full_like(wall, 2000), away),
        (wall, render(far), far),
        (wall, wall // 2, LEFT),
    ):
        matches = sample_matches(view(depth_a, LEFT), view(depth_b, pose_b), AGREE, limit, 0)
        assert matches.shape == (0, 4)
        assert matches.dtype == np.int16


def test_images_of_one_pixel_match_or_do_not() -> None:
    camera = Camera(1, 1, 10.0, 10.0, 0.0, 0.0)
    eye = np.eye(4)
    depth = np.array([[1500]], np.uint16)
    near, far = view(depth, eye, camera, None, camera), view(depth + 21, eye, camera, None, camera)
    assert sample_matches(near, near, AGREE, 5, 0).tolist() == [[0, 0, 0, 0]]
    assert sample_matches(near, far, AGREE, 5, 0).shape == (0, 4)
