from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pri3d_data.camera import Camera
from pri3d_data.images import resize_area, resize_nearest

SCANNET_DEPTH = Camera(640, 480, 577.590698, 578.729797, 318.905426, 242.683609)


def rays(camera: Camera) -> NDArray[np.float64]:
    """(H, W, 2): x / z and y / z of every pixel's centre, from the inverse of the intrinsic matrix."""
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    return np.asarray((pixels @ np.linalg.inv(camera.matrix).T)[..., :2])


def test_a_camera_is_read_from_a_3x3_or_4x4_matrix() -> None:
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = [[500, 0, 321.5], [0, 501, 239.25], [0, 0, 1]]
    for given_matrix in (matrix, matrix[:3, :3]):
        camera = Camera.from_matrix(given_matrix, 640, 480)
        assert camera == Camera(640, 480, 500.0, 501.0, 321.5, 239.25)
        np.testing.assert_array_equal(camera.matrix, matrix[:3, :3])
        np.testing.assert_array_equal(camera.vector, [500.0, 501.0, 321.5, 239.25])


def test_the_pixel_at_the_principal_point_looks_straight_ahead() -> None:
    assert (rays(Camera(64, 48, 50.0, 60.0, 31.0, 20.0))[20, 31] == 0).all()


@pytest.mark.parametrize(("sx", "sy"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (8, 16)])
def test_after_nearest_resizing_by_a_whole_factor_every_pixel_keeps_its_ray_exactly(sx: int, sy: int) -> None:
    source = Camera(240, 144, 216.596512, 173.618939, 119.277, 72.805)
    width, height = source.width // sx, source.height // sy
    number = np.arange(source.height * source.width, dtype=np.uint16).reshape(source.height, source.width)
    kept = resize_nearest(number, width, height)
    ours = rays(source.subsampled(width, height))
    np.testing.assert_allclose(ours, rays(source).reshape(-1, 2)[kept], rtol=0, atol=1e-13)


@given(
    source=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    target=st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_after_nearest_resizing_by_any_factor_a_ray_is_off_by_half_a_source_pixel_at_most(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    camera = Camera(*source, 50.0, 70.0, 20.25, 11.5)
    number = np.arange(source[0] * source[1], dtype=np.uint16).reshape(source[1], source[0])
    kept = rays(camera).reshape(-1, 2)[resize_nearest(number, *target)]
    off = np.abs(rays(camera.subsampled(*target)) - kept) * [camera.fx, camera.fy]
    assert off.max() <= 0.5 + 1e-9


@given(
    st.integers(1, 2000),
    st.integers(1, 2000),
    st.floats(10, 3000),
    st.floats(-500, 2000),
    st.integers(1, 999),
)
def test_area_resizing_leaves_the_image_borders_where_they_are(
    width: int, height: int, focal: float, centre: float, target: int
) -> None:
    before = Camera(width, height, focal, focal * 1.1, centre, centre / 2)
    after = before.resized(target, 2 * target)
    for side in (0, 1):
        left = [(side * c.width - 0.5 - c.cx) / c.fx for c in (before, after)]
        top = [(side * c.height - 0.5 - c.cy) / c.fy for c in (before, after)]
        assert left[0] == pytest.approx(left[1], rel=1e-9, abs=1e-9)
        assert top[0] == pytest.approx(top[1], rel=1e-9, abs=1e-9)


def test_area_resizing_gives_a_pixel_the_mean_ray_of_the_pixels_whose_colours_it_means() -> None:
    camera = Camera(60, 40, 55.0, 44.0, 29.0, 21.5)
    mean_rays = rays(camera).reshape(10, 4, 20, 3, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(rays(camera.resized(20, 10)), mean_rays, atol=1e-13)
    colors = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    mean_colors = colors.reshape(10, 4, 20, 3, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(resize_area(colors, 20, 10) - mean_colors).max() <= 0.5 + 1e-6


def test_resizing_to_the_same_size_changes_nothing() -> None:
    assert SCANNET_DEPTH.resized(640, 480) == SCANNET_DEPTH
    assert SCANNET_DEPTH.subsampled(640, 480) == SCANNET_DEPTH
