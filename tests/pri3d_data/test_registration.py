from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.matches import View
from pri3d_data.registration import depth_of_colors

CAMERA = np.array([40.0, 42.0, 15.5, 11.5])


def view(depth: NDArray[np.uint16], shift_x_m: float = 0.0, scale: int = 1) -> View:
    """Colour camera ``shift_x_m`` to the right of the depth camera, ``scale`` times as many pixels."""
    moved = np.eye(4)
    moved[0, 3] = shift_x_m
    color = np.array([40.0 * scale, 42.0 * scale, 15.5 * scale, 11.5 * scale])
    return View(depth, 1e-3, CAMERA, np.eye(4), color, moved, 32 * scale, 24 * scale)


def test_one_camera_for_both_gives_the_depth_image_in_metres() -> None:
    depth = np.random.default_rng(0).integers(0, 5000, (24, 32)).astype(np.uint16)
    assert np.allclose(depth_of_colors(view(depth)), depth * 1e-3, atol=1e-6)


def test_a_point_lands_where_the_pinhole_formula_says_in_float64() -> None:
    random = np.random.default_rng(1)
    depth = np.where(random.random((24, 32)) < 0.1, random.integers(500, 5000, (24, 32)), 0).astype(np.uint16)
    expected = np.zeros((48, 64))
    for row, column in np.argwhere(depth):
        z = depth[row, column] * 1e-3
        x, y = (column - 15.5) / 40.0 * z - 0.05, (row - 11.5) / 42.0 * z
        u, v = int(np.floor(80.0 * x / z + 31.0 + 0.5)), int(np.floor(84.0 * y / z + 23.0 + 0.5))
        if 0 <= u < 64 and 0 <= v < 48 and (expected[v, u] == 0 or z < expected[v, u]):
            expected[v, u] = z
    assert expected.any()
    assert np.allclose(depth_of_colors(view(depth, 0.05, 2)), expected, atol=1e-6)


def test_of_two_points_on_a_pixel_the_nearer_counts() -> None:
    depth = np.zeros((24, 32), np.uint16)
    # From 5 cm further right both fall on column 15: 17 - 40 · 0.05 / 1 and 15 - 40 · 0.05 / 4, rounded.
    depth[12, 17], depth[12, 15] = 1000, 4000
    seen = depth_of_colors(view(depth, 0.05))
    assert np.argwhere(seen).tolist() == [[12, 15]]
    assert seen[12, 15] == np.float32(1.0)


def test_an_empty_depth_image_gives_an_empty_one() -> None:
    assert not depth_of_colors(view(np.zeros((24, 32), np.uint16))).any()
