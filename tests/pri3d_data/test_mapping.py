from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from pri3d_data.mapping import SparseView, common_share, measured_points, seen_in

UNIT_M = 1.0 / 256.0
CAMERA = np.array([45.0, 44.0, 31.3, 15.8])


def view(rng: np.random.Generator, turn: float, shift_m: float) -> tuple[np.ndarray, SparseView]:
    depth = np.where(rng.uniform(size=(32, 64)) < 0.5, rng.integers(400, 4000, (32, 64)), 0).astype(np.uint16)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(rng.uniform(-turn, turn, 3)).as_matrix()
    pose[:3, 3] = rng.uniform(-shift_m, shift_m, 3)
    points = measured_points(depth, UNIT_M, CAMERA)
    return depth, SparseView(points, np.ones(len(points), bool), depth, UNIT_M, CAMERA, pose)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_pixel_is_seen_where_the_depth_its_point_falls_on_agrees(seed: int, truncate: bool) -> None:
    """Against whole-array float64 numpy written from the definition."""
    rng = np.random.default_rng(seed)
    (depth_a, a), (depth_b, b) = view(rng, 0.05, 0.3), view(rng, 0.05, 0.3)
    v, u = np.nonzero(depth_a)
    z = depth_a[v, u] * UNIT_M
    rays = np.linalg.inv(np.array([[45.0, 0, 31.3], [0, 44.0, 15.8], [0, 0, 1]])) @ np.stack(
        [u, v, np.ones(len(u))]
    )
    moved = np.linalg.inv(b.camera_to_world) @ a.camera_to_world @ np.vstack([rays * z, np.ones(len(u))])
    x_b, y_b = 45.0 * moved[0] / moved[2] + 31.3, 44.0 * moved[1] / moved[2] + 15.8
    column, row = (
        (p.astype(np.int64) if truncate else np.floor(p + 0.5).astype(np.int64)) for p in (x_b, y_b)
    )
    inside = (moved[2] > 0) & (column >= 0) & (column < 64) & (row >= 0) & (row < 32)
    there = np.where(inside, depth_b[np.clip(row, 0, 31), np.clip(column, 0, 63)], 0)
    expected = (there > 0) & (np.abs(there * UNIT_M - moved[2]) < 0.5)
    found = seen_in(a, b, 0.5, truncate)
    # Where a point falls within rounding of a pixel's border either answer is right.
    margin = np.abs((np.stack([x_b, y_b]) + (0.0 if truncate else 0.5)) % 1.0 - 0.5).max(axis=0)
    sure = (margin < 0.5 - 1e-9) & (np.abs(np.abs(there * UNIT_M - moved[2]) - 0.5) > 1e-9)
    np.testing.assert_array_equal(found[sure], expected[sure])
    assert sure.mean() > 0.99


def test_a_frame_sees_all_of_itself() -> None:
    _, one = view(np.random.default_rng(5), 0.5, 3.0)
    assert seen_in(one, one, 1e-6, False).all()


def test_a_point_behind_the_other_camera_is_not_seen() -> None:
    _, one = view(np.random.default_rng(6), 0.0, 0.0)
    turned = one.camera_to_world @ np.diag([-1.0, 1.0, -1.0, 1.0])
    assert not seen_in(one, one._replace(camera_to_world=turned), 1e9, False).any()


def test_measured_points_come_row_by_row() -> None:
    depth = np.array([[0, 512], [256, 0]], np.uint16)
    points = measured_points(depth, UNIT_M, np.array([2.0, 4.0, 0.5, 0.25]))
    np.testing.assert_allclose(points, [[0.5, -0.125, 2.0], [-0.25, 0.1875, 1.0]])


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0, 1), st.floats(0, 1))
def test_common_share_is_a_share_whoever_comes_first(
    n_a: int, n_b: int, share_a: float, share_b: float
) -> None:
    m_a, m_b = int(n_a * share_a), int(n_b * share_b)
    overlap = common_share(m_a, m_b, n_a, n_b)
    assert 0.0 <= overlap <= 1.0
    assert overlap == common_share(m_b, m_a, n_b, n_a)


@pytest.mark.parametrize(
    ("matched", "a", "b", "share"), [(20, 30, 40, 0.4), (0, 9, 9, 0.0), (0, 0, 0, 0.0), (7, 7, 7, 1.0)]
)
def test_common_share_of_one_count_is_matches_over_all_points(
    matched: int, a: int, b: int, share: float
) -> None:
    assert common_share(matched, matched, a, b) == share
