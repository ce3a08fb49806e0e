from __future__ import annotations

import numpy as np
import pytest
from pretend_street import scan, seen_by_camera, truth

from pri3d_data.ground import ground_mask
from pri3d_data.lidar_projection import project_scan

UNIT_M = 1.0 / 256.0
CAMERA = np.array([360.0, 360.0, 310.0, 94.0])


def test_the_road_of_a_street_is_found_whole_and_little_else_with_it() -> None:
    street = truth()
    camera = street.camera
    for frame in (0, 7, 15):
        depth = project_scan(
            scan(street, frame), street.lidar_to_camera, camera.vector, camera.width, camera.height, UNIT_M
        )
        mask = ground_mask(depth, UNIT_M, camera.vector, 1.65, 0.3)
        found = seen_by_camera(street, frame)
        ground, height_m = mask[found.row, found.column], found.points_world[:, 2]
        road = height_m < 0.01
        assert 0.2 < road.mean() < 0.7
        assert ground[road].mean() > 0.999
        # A pixel's row is rounded, which far away is a hand's breadth of height.
        assert np.quantile(height_m[ground], 0.99) < 0.55
        assert ground[height_m > 0.6].mean() < 0.005


@pytest.mark.parametrize("slope", [-0.05, 0.0, 0.05])
def test_a_road_may_climb_and_fall_and_its_walls_stay_walls(slope: float) -> None:
    v, u = np.mgrid[:188, :620]
    x, y = (u - CAMERA[2]) / CAMERA[0], (v - CAMERA[3]) / CAMERA[1]
    with np.errstate(divide="ignore"):
        road_m = np.where(y + slope > 0.01, 1.65 / (y + slope), np.inf)
        wall_m = np.minimum(np.abs(7.0 / x), 1000.0)
    wall_m = np.where((y + slope) * wall_m > -2.0, wall_m, np.inf)
    z = np.minimum(road_m, wall_m)
    sparse = (v % 4 == 0) & (u % 2 == 0) & (z < 70.0)
    depth = np.where(sparse, np.rint(np.where(sparse, z, 0.0) / UNIT_M), 0).astype(np.uint16)
    mask = ground_mask(depth, UNIT_M, CAMERA, 1.65, 0.3)
    road = sparse & (road_m < wall_m)
    above_m = 1.65 - (y + slope) * np.minimum(z, 1000.0)
    assert mask[road].mean() > 0.99
    assert mask[sparse & (above_m > 0.6)].mean() < 0.01
    assert not mask[~sparse].any()


def test_a_wall_right_before_the_camera_is_no_ground() -> None:
    depth = np.full((188, 620), round(3.0 / UNIT_M), np.uint16)
    mask = ground_mask(depth, UNIT_M, CAMERA, 1.65, 0.3)
    assert not mask.any()
