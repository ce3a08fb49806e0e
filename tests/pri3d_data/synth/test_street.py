from __future__ import annotations

import numpy as np
import pytest

from pri3d_data.errors import UsageError
from pri3d_data.synth.distance import distance_to_surface
from pri3d_data.synth.kitti import KittiSynth, kitti_truth, write_kitti
from pri3d_data.synth.laser import FARTHEST_M, beam_elevations_rad, scan_street
from pri3d_data.synth.street import make_street


@pytest.mark.parametrize("seed", range(6))
def test_nothing_stands_in_the_cars_way(seed):
    spec = KittiSynth(frames=60, azimuths=8, speed_m_per_frame=2.0)
    truth = kitti_truth(spec, seed)
    for to_world in (truth.lidar_to_world, truth.camera_to_world):
        place = to_world[:, :3, 3]
        # The eyes are 1.6 m above the road; beside and before them there is room for a car.
        assert distance_to_surface(truth.street, place).min() > 1.0
        assert np.abs(place[:, 2] - 1.7).max() < 0.15
        assert np.abs(place[:, 1]).max() < 2.1


def test_a_car_drives_forwards_along_its_lane():
    truth = kitti_truth(KittiSynth(frames=30, azimuths=8), 4)
    poses = truth.camera_to_world
    step = np.diff(poses[:, :3, 3], axis=0)
    np.testing.assert_allclose(step[:, 0], 1.0, atol=0.05)
    # OpenCV axes: z looks along the road, y down.
    assert (poses[:, 0, 2] > 0.99).all()
    assert (poses[:, 2, 1] < -0.99).all()


def test_scan_points_lie_on_the_street_within_reach():
    truth = kitti_truth(KittiSynth(frames=3, azimuths=200), 1)
    scan = scan_street(truth.street.arrays, truth.lidar_to_world[2], 200)
    assert len(scan) > 6000
    distance = np.linalg.norm(scan[:, :3], axis=1)
    assert distance.max() < FARTHEST_M + 1e-3
    world = (
        scan[:, :3].astype(np.float64) @ truth.lidar_to_world[2, :3, :3].T + truth.lidar_to_world[2, :3, 3]
    )
    assert np.abs(distance_to_surface(truth.street, world)).max() < 1e-4
    assert ((scan[:, 3] >= 0.0) & (scan[:, 3] <= 1.0)).all()
    # Beam after beam, each a turn.
    up = np.arcsin(scan[:, 2] / distance)
    nearest = np.abs(up[:, None] - beam_elevations_rad()).argmin(axis=1)
    assert np.abs(up - beam_elevations_rad()[nearest]).max() < 1e-5
    assert (np.diff(nearest) >= 0).all()


def test_a_street_is_its_seeds_and_grows_with_the_way():
    assert make_street(3, 20.0).solids == make_street(3, 20.0).solids
    assert make_street(3, 20.0).solids != make_street(4, 20.0).solids
    assert len(make_street(3, 80.0).solids) > len(make_street(3, 20.0).solids)


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"image_size": (8, 100)}, {"azimuths": 2}, {"speed_m_per_frame": -1.0}]
)
def test_drives_that_cannot_be_made_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        KittiSynth(**wrong)


def test_no_drives_and_negative_seeds_are_refused(tmp_path):
    for scenes, seed in ((0, 0), (1, -1)):
        with pytest.raises(UsageError, match="at least 1 scene"):
            write_kitti(tmp_path, scenes, seed)
    with pytest.raises(UsageError, match="seed"):
        kitti_truth(KittiSynth(), -1)
