from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pri3d_data.backproject import backproject
from pri3d_data.camera import Camera
from pri3d_data.images import resize_nearest

ZERO = np.zeros(3)
CAMERA = Camera(37, 23, 30.5, 31.25, 17.75, 10.5)


def pose(turn: tuple[float, float, float], position: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    matrix[:3, 3] = position
    return matrix


def by_matrices(
    depth: NDArray[np.uint16], unit_m: float, camera: Camera, to_world: NDArray[np.float64]
) -> NDArray[np.float64]:
    """World points of the measured pixels: K⁻¹ (u, v, 1) z, then the 4×4 pose, all in float64."""
    v, u = np.nonzero(depth)
    z = depth[v, u].astype(np.float64) * unit_m
    rays = np.linalg.inv(camera.matrix) @ np.stack([u, v, np.ones_like(u)])
    points = np.concatenate([rays * z, np.ones((1, len(z)))])
    return np.asarray((to_world @ points)[:3].T)


@given(
    depth=arrays(np.uint16, st.tuples(st.integers(1, 23), st.integers(1, 37))),
    unit_m=st.sampled_from([1e-3, 1 / 5000, 1 / 4000, 1.0]),
    turn=st.tuples(*[st.floats(-3, 3)] * 3),
    position=st.tuples(*[st.floats(-10, 10)] * 3),
)
def test_points_equal_the_pinhole_formula_within_float32_rounding(
    depth: NDArray[np.uint16],
    unit_m: float,
    turn: tuple[float, float, float],
    position: tuple[float, float, float],
) -> None:
    to_world = pose(turn, position)
    points = backproject(depth, unit_m, CAMERA.vector, to_world, ZERO)
    exact = by_matrices(depth, unit_m, CAMERA, to_world)
    assert points.dtype == np.float32
    assert points.shape == exact.shape
    reach = np.abs(exact).max(initial=0.0) + 20.0
    # Half a float32 step of the value itself, and float64 noise of the terms that cancel.
    assert (np.abs(points - exact) <= 2.0**-24 * np.abs(exact) + 1e-12 * reach).all()


def test_points_come_row_by_row_and_unmeasured_pixels_give_none() -> None:
    depth = np.array([[0, 1000, 0], [2000, 0, 3000]], np.uint16)
    points = backproject(depth, 1e-3, np.array([1.0, 1.0, 1.0, 0.0]), np.eye(4), ZERO)
    np.testing.assert_array_equal(points, [[0, 0, 1], [-2, 2, 2], [3, 3, 3]])


def test_an_image_without_depth_gives_no_points() -> None:
    points = backproject(np.zeros((4, 5), np.uint16), 1e-3, CAMERA.vector, np.eye(4), ZERO)
    assert points.shape == (0, 3)


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_a_millimetre_survives_far_from_the_worlds_zero_when_an_origin_is_taken_off(far: float) -> None:
    random = np.random.default_rng(2)
    depth = random.integers(400, 5000, (23, 37)).astype(np.uint16)
    here = pose((0.3, -0.2, 1.0), (0.25, -0.5, 1.0))
    origin = np.array([far, -far, 0.5 * far])
    there = here.copy()
    there[:3, 3] += origin
    near = by_matrices(depth, 1e-3, CAMERA, here)
    kept = backproject(depth, 1e-3, CAMERA.vector, there, origin)
    assert np.abs(kept - near).max() < 1e-6
    if far == 1e6:
        lost = backproject(depth, 1e-3, CAMERA.vector, there, ZERO) - origin
        assert np.abs(lost - near).max() > 1e-3


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_a_subsampled_image_and_camera_give_a_subset_of_the_full_images_points(factor: int) -> None:
    full = Camera(60 * factor, 40 * factor, 61.7 * factor, 60.3 * factor, 30.1 * factor, 19.3 * factor)
    depth = np.random.default_rng(factor).integers(1, 9000, (full.height, full.width)).astype(np.uint16)
    small_camera = full.subsampled(60, 40)
    to_world = pose((0.1, 0.4, -0.7), (1.0, 2.0, 3.0))
    all_points = backproject(depth, 1e-3, full.vector, to_world, ZERO).reshape(*depth.shape, 3)
    small = resize_nearest(depth, 60, 40)
    points = backproject(small, 1e-3, small_camera.vector, to_world, ZERO).reshape(40, 60, 3)
    half = factor // 2
    np.testing.assert_allclose(points, all_points[half::factor, half::factor], rtol=0, atol=2e-6)
