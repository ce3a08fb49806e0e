from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from pri3d_data.lidar_surface import fill_between_rows

UNIT_M = 1.0 / 256.0
FOCAL, CX, CY = 200.0, 40.0, 20.0
STEEPEST = UNIT_M / (1.0 * FOCAL)


def plane(normal: np.ndarray, distance_m: float) -> np.ndarray:
    """(40, 80) float64 depth of a plane, by intersecting each pixel's ray with it."""
    v, u = np.mgrid[:40, :80]
    rays = np.stack([(u - CX) / FOCAL, (v - CY) / FOCAL, np.ones(u.shape)], axis=-1)
    return distance_m / (rays @ normal)


@given(st.floats(-1.2, 1.2), st.floats(-1.2, 1.2), st.floats(1.5, 30.0))
def test_between_the_rows_of_a_plane_lies_the_plane(turn: float, tilt: float, distance_m: float) -> None:
    normal = np.array([np.sin(turn), np.cos(turn) * np.sin(tilt), np.cos(turn) * np.cos(tilt)])
    exact = plane(normal, distance_m)
    assume((exact > 0.5).all() and (exact < 250.0).all())
    sparse = np.zeros((40, 80), np.uint16)
    sparse[2::6] = np.rint(exact[2::6] / UNIT_M)
    filled = fill_between_rows(sparse, 6, 0, STEEPEST)
    np.testing.assert_array_equal(filled[2::6], sparse[2::6])
    assert (filled[2:39] > 0).all()
    # Measured depths were rounded to a step, and so is the result.
    assert np.abs(filled[2:39] * UNIT_M - exact[2:39]).max() <= 1.01 * UNIT_M


def test_across_an_edge_each_side_keeps_its_depth() -> None:
    sparse = np.zeros((7, 1), np.uint16)
    sparse[0], sparse[6] = 1000, 9000
    assert fill_between_rows(sparse, 6, 0, STEEPEST)[:, 0].tolist() == [1000] * 4 + [9000] * 3


def test_wider_gaps_and_the_image_border_stay_empty() -> None:
    sparse = np.zeros((20, 1), np.uint16)
    sparse[3], sparse[10] = 5000, 5000
    assert np.flatnonzero(fill_between_rows(sparse, 6, 0, STEEPEST)).tolist() == [3, 10]
    assert np.flatnonzero(fill_between_rows(sparse, 7, 0, STEEPEST)).tolist() == list(range(3, 11))


def test_a_column_without_points_takes_its_nearest_neighbours() -> None:
    sparse = np.zeros((1, 9), np.uint16)
    sparse[0, 1], sparse[0, 5] = 400, 300
    assert fill_between_rows(sparse, 6, 2, STEEPEST)[0].tolist() == [
        400,
        400,
        400,
        300,
        300,
        300,
        300,
        300,
        0,
    ]


@given(st.integers(0, 2**32 - 1))
def test_measured_pixels_never_change(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sparse = np.where(rng.uniform(size=(24, 30)) < 0.2, rng.integers(1, 65536, (24, 30)), 0).astype(np.uint16)
    filled = fill_between_rows(sparse, 5, 2, STEEPEST)
    np.testing.assert_array_equal(filled[sparse > 0], sparse[sparse > 0])
    if sparse.any():
        assert sparse[sparse > 0].min() <= filled[filled > 0].min()
        assert filled.max() <= sparse.max()
