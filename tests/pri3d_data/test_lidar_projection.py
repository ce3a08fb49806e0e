from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pretend_street import in_view, nearest_of_each_pixel, scan, seen_by_camera, truth

from pri3d_data.kitti.scenes import find_scenes, open_drive
from pri3d_data.kitti.velodyne import spacing_px
from pri3d_data.lidar_projection import project_scan, without_hidden

UNIT_M = 1.0 / 256.0
CAMERA = np.array([50.0, 48.0, 31.2, 15.9])
AXES = np.array([[0.0, -1, 0, 0.1], [0, 0, -1, -0.2], [1, 0, 0, -0.3], [0, 0, 0, 1]])


@given(st.integers(0, 2**32 - 1))
def test_every_pixel_holds_the_nearest_of_the_points_that_round_to_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-12.0, 12.0, (400, 4)).astype(np.float32)
    depth = project_scan(points, AXES, CAMERA, 64, 32, UNIT_M)
    expected = np.zeros((32, 64), np.uint16)
    _, z, row, column = nearest_of_each_pixel(points, AXES, CAMERA, 64, 32)
    expected[row, column] = np.floor(z / UNIT_M + 0.5)
    # Points nearer than the helper looks.
    near = (depth > 0) & (depth < 0.11 / UNIT_M)
    np.testing.assert_array_equal(np.where(near, 0, depth), expected)


def test_points_without_a_number_behind_or_out_of_range_are_left_out() -> None:
    ahead = np.array([10.0, 0.1, -0.2])
    points = np.array(
        [ahead, [np.nan, 0, 0], [10, np.inf, 0], -ahead, [300.0, 0, 0], [0.3, 0, 0]], np.float32
    )
    depth = project_scan(points, AXES, CAMERA, 64, 32, UNIT_M)
    assert np.count_nonzero(depth) == 1
    assert depth.max() == round((10.0 - 0.3) / UNIT_M)


def test_an_empty_scan_measures_nothing() -> None:
    assert not project_scan(np.zeros((0, 4), np.float32), AXES, CAMERA, 8, 4, UNIT_M).any()


def test_points_behind_a_surface_are_taken_out_and_seen_ones_kept() -> None:
    """Truth: rays from the camera to each point. Stated in docs/building.md."""
    street = truth()
    camera = street.camera
    hidden = removed_hidden = seen = removed_seen = 0
    for frame in range(0, 16, 5):
        depth = project_scan(
            scan(street, frame), street.lidar_to_camera, camera.vector, camera.width, camera.height, UNIT_M
        )
        found = seen_by_camera(street, frame)
        np.testing.assert_array_equal(np.argwhere(depth), np.column_stack([found.row, found.column]))
        visible = in_view(street, found.points_world, frame)
        kept = without_hidden(depth, *spacing_px(camera))[found.row, found.column] > 0
        hidden += (~visible).sum()
        removed_hidden += (~visible & ~kept).sum()
        seen += visible.sum()
        removed_seen += (visible & ~kept).sum()
    assert hidden > 300
    assert removed_hidden / hidden > 0.75
    assert removed_seen / seen < 0.02


@given(st.floats(-0.5, 0.5), st.floats(-0.9, 0.9), st.floats(3.0, 40.0))
def test_one_surface_however_slanted_hides_nothing_of_itself(
    slant_x: float, slant_y: float, z_m: float
) -> None:
    v, u = np.mgrid[:40:3, :80:2]
    x, y = (u - 40.0) / 100.0, (v - 20.0) / 100.0
    depth = np.zeros((40, 80), np.uint16)
    depth[v, u] = z_m / (1.0 - slant_x * x - slant_y * y) / UNIT_M
    np.testing.assert_array_equal(without_hidden(depth, 4, 2), depth)


def test_what_stands_beside_an_edge_stays_and_what_shows_through_goes() -> None:
    depth = np.zeros((40, 40), np.uint16)
    depth[::4, ::2] = 10_000
    depth[::4, :20:2] = 2_000
    seen = without_hidden(depth, 4, 2)
    np.testing.assert_array_equal(seen[:, 22:], depth[:, 22:])
    np.testing.assert_array_equal(seen[:, :20], depth[:, :20])
    hole = np.full((9, 9), 2_000, np.uint16)
    hole[4, 4] = 10_000
    assert without_hidden(hole, 2, 2)[4, 4] == 0
    assert np.count_nonzero(without_hidden(hole, 2, 2)) == 80


def rows_of(path: Path) -> dict[str, np.ndarray]:
    lines = [
        line.split(":", 1) for line in path.read_text().splitlines() if not line.startswith("calib_time")
    ]
    return {key: np.array(values.split(), dtype=np.float64) for key, values in lines}


@pytest.mark.real_data
def test_real_scans_land_where_an_independent_numpy_projection_puts_them(shared_data: Path) -> None:
    day = shared_data / "kitti_raw" / "2011_09_26"
    cameras, mount = rows_of(day / "calib_cam_to_cam.txt"), rows_of(day / "calib_velo_to_cam.txt")
    projection, rectify = cameras["P_rect_02"].reshape(3, 4), cameras["R_rect_00"].reshape(3, 3)
    scans = sorted((day / "2011_09_26_drive_0013_sync/velodyne_points/data").iterdir())
    with open_drive(find_scenes(str(shared_data / "kitti_raw"))[0]) as capture:
        for frame, path in zip(capture.frames, scans, strict=True):
            points = np.fromfile(path, "<f4").reshape(-1, 4)[:, :3].astype(np.float64)
            at_reference = (mount["R"].reshape(3, 3) @ points.T + mount["T"][:, None]).T @ rectify.T
            aside = np.array([projection[0, 3] / projection[0, 0], 0.0, 0.0])
            at_camera = at_reference + aside
            at_camera = at_camera[at_camera[:, 2] > 0.1]
            pixels = at_camera @ projection[:, :3].T
            u, v = (np.rint(pixels[:, axis] / pixels[:, 2]).astype(int) for axis in (0, 1))
            inside = (u >= 0) & (v >= 0) & (u < 1242) & (v < 375)
            expected = np.full((375, 1242), np.inf)
            np.minimum.at(expected, (v[inside], u[inside]), at_camera[inside, 2])
            depth = capture.depth(frame)
            measured = depth > 0
            # All that was measured is there but what is hidden: some 3 in 100.
            assert 0.95 < measured.sum() / np.isfinite(expected).sum() <= 1.0
            assert np.abs(depth[measured] * UNIT_M - expected[measured]).max() <= 0.5 * UNIT_M + 1e-4
            # The files' own matrix has two more entries in its last column: a third of a pixel at 5 m.
            whole = np.column_stack([at_camera - aside, np.ones(len(at_camera))])
            exact = whole @ projection.T
            apart = np.abs(exact[:, :2] / exact[:, 2:] - pixels[:, :2] / pixels[:, 2:])[inside]
            assert apart.max() < 1.0
            assert np.median(apart) < 0.2
