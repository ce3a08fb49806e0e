from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pri3d_data.matches import View
from pri3d_data.voxel_matches import sample_projected_voxels, sample_voxel_matches

WIDTH, HEIGHT = 24, 18


def rotation(random: np.random.Generator) -> np.ndarray:
    q, _ = np.linalg.qr(random.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def made_view(random: np.random.Generator, apart: bool = False) -> View:
    """A slanted surface with holes; ``apart`` gives colour a camera, place and size of its own."""
    plane = 700 + 8 * np.arange(WIDTH)[None, :] + 5 * np.arange(HEIGHT)[:, None]
    depth = (plane + random.integers(0, 40, (HEIGHT, WIDTH))).astype(np.uint16)
    depth[random.random((HEIGHT, WIDTH)) < 0.2] = 0
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation(random), random.uniform(-3.0, 3.0, 3)
    camera = np.array([30.3, 29.1, 11.7, 8.4])
    if not apart:
        return View(depth, 1e-3, camera, pose, camera, pose, WIDTH, HEIGHT)
    moved = pose.copy()
    moved[:3, 3] += pose[:3, :3] @ [0.02, -0.01, 0.005]
    return View(depth, 1e-3, camera, pose, np.array([62.0, 60.0, 21.3, 16.2]), moved, 44, 33)


def world_points(view: View) -> np.ndarray:
    """(H, W, 3), plainly."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    fx, fy, cx, cy = view.depth_camera
    z = view.depth * view.depth_unit
    points = np.stack([(columns - cx) / fx * z, (rows - cy) / fy * z, z], axis=-1)
    return points @ view.depth_to_world[:3, :3].T + view.depth_to_world[:3, 3]


def color_pixels(view: View, points: np.ndarray) -> np.ndarray:
    """(N, 2) continuous x, y in the colour image, NaN behind the camera."""
    seen = (points - view.camera_to_world[:3, 3]) @ view.camera_to_world[:3, :3]
    fx, fy, cx, cy = view.camera
    with np.errstate(all="ignore"):
        x, y = fx * seen[:, 0] / seen[:, 2] + cx, fy * seen[:, 1] / seen[:, 2] + cy
    return np.where(seen[:, 2:] > 0, np.stack([x, y], axis=1), np.nan)


def voxels_about(points: np.ndarray, voxel_m: float, random: np.random.Generator, share: float) -> np.ndarray:
    """The voxels of points, some of them lost, some with neighbours, in lexicographic order."""
    grid = np.floor(points.reshape(-1, 3) / voxel_m).astype(np.int64)
    grid = np.concatenate([grid, grid + random.integers(-1, 2, grid.shape)])
    grid = grid[random.random(len(grid)) < share]
    return np.unique(grid, axis=0).astype(np.int32).reshape(-1, 3)


def brute_force(view: View, voxels: np.ndarray, voxel_m: float, radius_m: float) -> dict:
    """Colour pixel -> (distance, row) of the nearest centre, over all depth pixels that fall on it."""
    measured = view.depth > 0
    points = world_points(view)[measured]
    pixels = np.floor(color_pixels(view, points) + 0.5)
    inside = (pixels >= 0).all(axis=1) & (pixels < [view.width, view.height]).all(axis=1)
    expected: dict[tuple[int, int], list[tuple[float, int]]] = {}
    centers = (voxels + 0.5) * voxel_m
    for point, pixel in zip(points[inside], pixels[inside], strict=True):
        distances = np.linalg.norm(centers - point, axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] <= radius_m:
            key = (int(pixel[0]), int(pixel[1]))
            expected.setdefault(key, []).append((float(distances[nearest]), nearest))
    return expected


def listed(expected: dict) -> list[tuple[int, int, int]]:
    return sorted((x, y, row) for (x, y), found in expected.items() for _, row in found)


@pytest.mark.parametrize("apart", [False, True], ids=["one camera", "two cameras"])
@pytest.mark.parametrize(("voxel_m", "radius_m"), [(0.02, 0.02), (0.05, 0.02), (0.013, 0.04), (0.02, 0.1)])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.02, 0.3, 0.9]))
def test_all_matches_are_the_brute_force_nearest_voxels(apart, voxel_m, radius_m, seed, share) -> None:
    random = np.random.default_rng(seed)
    view = made_view(random, apart)
    voxels = voxels_about(world_points(view)[view.depth > 0], voxel_m, random, share)
    found = sample_voxel_matches(view, voxels, voxel_m, radius_m, WIDTH * HEIGHT, 5)
    assert found.dtype == np.int32
    assert sorted(map(tuple, found.tolist())) == listed(brute_force(view, voxels, voxel_m, radius_m))


def test_of_two_voxels_equally_near_the_first_is_taken() -> None:
    depth = np.array([[1000]], np.uint16)
    camera = np.array([1.0, 1.0, 0.0, 0.0])
    view = View(depth, 1e-3, camera, np.eye(4), camera, np.eye(4), 1, 1)
    # The point (0, 0, 1) is a corner of eight voxels of half a metre.
    around = np.array([[x, y, z] for x in (-1, 0) for y in (-1, 0) for z in (1, 2)], np.int32)
    for first in range(8):
        found = sample_voxel_matches(view, around[first:], 0.5, 0.5, 10, 0)
        assert found.tolist() == [[0, 0, 0]]
    assert len(sample_voxel_matches(view, around, 0.5, 0.43, 10, 0)) == 0  # √3/4 m are too far


def test_a_sample_is_seeded_without_repeats_and_part_of_all() -> None:
    random = np.random.default_rng(3)
    view = made_view(random)
    voxels = voxels_about(world_points(view)[view.depth > 0], 0.02, random, 0.9)
    for draw in (
        lambda limit, seed: sample_voxel_matches(view, voxels, 0.02, 0.02, limit, seed),
        lambda limit, seed: sample_projected_voxels(view, voxels, 0.02, 0.2, limit, seed),
    ):
        everything = {tuple(row) for row in draw(10**6, 0).tolist()}
        some = draw(50, 1)
        assert some.shape == (50, 3)
        np.testing.assert_array_equal(some, draw(50, 1))
        assert some.tolist() != draw(50, 2).tolist()
        assert {tuple(row) for row in some.tolist()} <= everything
        assert len({tuple(row) for row in some.tolist()}) == 50
        assert draw(0, 1).shape == (0, 3)
        # The larger sample goes on where the smaller ends.
        np.testing.assert_array_equal(draw(80, 1)[:50], some)
    pixels = sample_voxel_matches(view, voxels, 0.02, 0.02, 10**6, 0)[:, :2]
    assert len(np.unique(pixels, axis=0)) == len(pixels)


def test_every_match_is_drawn_about_equally_often() -> None:
    random = np.random.default_rng(4)
    view = made_view(random)
    voxels = voxels_about(world_points(view)[view.depth > 0], 0.02, random, 0.9)
    everything = len(sample_voxel_matches(view, voxels, 0.02, 0.02, 10**6, 0))
    draws = 600
    drawn = np.zeros((HEIGHT, WIDTH))
    for seed in range(draws):
        found = sample_voxel_matches(view, voxels, 0.02, 0.02, 40, seed * 7919 + 1)
        drawn[found[:, 1], found[:, 0]] += 1
    share = drawn[drawn > 0] / draws
    assert len(share) == everything
    expected = 40 / everything
    assert np.abs(share - expected).max() < 6 * np.sqrt(expected / draws)


def reference(view: View, voxels: np.ndarray, voxel_m: float, tolerance_m: float) -> list:
    """The authors' projection, step by step, on voxels in front of the camera and measured pixels."""
    matches = []
    world_to_depth = np.linalg.inv(view.depth_to_world)
    world_to_color = np.linalg.inv(view.camera_to_world)
    for row, voxel in enumerate(voxels):
        corner = np.append(voxel * voxel_m, 1.0)
        x, y, z = (world_to_depth @ corner)[:3]
        if z <= 0:
            continue
        fx, fy, cx, cy = view.depth_camera
        u, v = fx * x / z + cx, fy * y / z + cy
        if not (0 <= u < WIDTH and 0 <= v < HEIGHT):
            continue
        measured = view.depth[int(v), int(u)] * view.depth_unit
        if measured == 0 or abs(z - measured) >= tolerance_m:
            continue
        x, y, z = (world_to_color @ corner)[:3]
        fx, fy, cx, cy = view.camera
        u, v = (fx * x / z + cx, fy * y / z + cy) if z > 0 else (-1.0, -1.0)
        if 0 <= u < view.width and 0 <= v < view.height:
            matches.append((int(u), int(v), row))
    return sorted(matches)


@pytest.mark.parametrize("apart", [False, True], ids=["one camera", "two cameras"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_authors_variant_is_their_projection(apart, seed) -> None:
    random = np.random.default_rng(seed)
    view = made_view(random, apart)
    surface = world_points(view)[view.depth > 0]
    # Near the surface, anywhere in front, and behind the camera too.
    around = view.depth_to_world[:3, 3] + random.uniform(-1.5, 1.5, (400, 3))
    points = np.concatenate([surface + random.normal(0.0, 0.15, surface.shape), around])
    voxels = voxels_about(points, 0.02, random, 0.7)
    found = sample_projected_voxels(view, voxels, 0.02, 0.2, len(voxels), 9)
    assert found.dtype == np.int32
    assert sorted(map(tuple, found.tolist())) == reference(view, voxels, 0.02, 0.2)
    assert len(found) > 50


def test_unmeasured_pixels_and_voxels_behind_the_camera_never_match() -> None:
    camera = np.array([30.0, 30.0, 11.5, 8.5])
    nothing = View(np.zeros((HEIGHT, WIDTH), np.uint16), 1e-3, camera, np.eye(4), camera, np.eye(4), 24, 18)
    near = np.array([[x, y, z] for x in range(-4, 4) for y in range(-4, 4) for z in range(-9, 9)], np.int32)
    assert len(sample_projected_voxels(nothing, near, 0.02, 0.2, 10**6, 0)) == 0
    assert len(sample_voxel_matches(nothing, near, 0.02, 0.02, 10**6, 0)) == 0
    close = nothing._replace(depth=np.full((HEIGHT, WIDTH), 50, np.uint16))
    rows = sample_projected_voxels(close, near, 0.02, 0.2, 10**6, 0)[:, 2]
    assert len(rows)
    assert near[rows, 2].min() > 0


def test_no_voxels_far_voxels_and_a_camera_out_of_this_world_give_no_matches() -> None:
    view = made_view(np.random.default_rng(0))
    empty = np.zeros((0, 3), np.int32)
    far = np.array([[-(2**20), 0, 5], [2**20 - 1, 7, -(2**20)]], np.int32)
    for voxels in (empty, far):
        for place in (0.0, 1e5, 1e300, -1e18):
            pose = view.depth_to_world.copy()
            pose[:3, 3] += place
            there = view._replace(depth_to_world=pose, camera_to_world=pose)
            assert sample_voxel_matches(there, voxels, 0.02, 0.02, 100, 0).shape == (0, 3)
            assert sample_projected_voxels(there, voxels, 0.02, 0.2, 100, 0).shape == (0, 3)
