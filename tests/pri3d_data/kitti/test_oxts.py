from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pri3d_data.errors import DataError
from pri3d_data.kitti.calibration import read_raw_calibration
from pri3d_data.kitti.oxts import Fix, imu_to_world, read_fix
from pri3d_data.kitti.scenes import find_scenes, open_drive


def fix_file(path: Path, words: list[str]) -> Path:
    path.write_text(" ".join(words) + "\n")
    return path


WORDS = ["49.01", "8.43", "114.7", "0.03", "-0.02", "1.9", *["0.5"] * 19, "4", "12", "4", "4", "0"]


def test_place_and_attitude_are_read_in_their_units(tmp_path: Path) -> None:
    assert read_fix(str(fix_file(tmp_path / "0.txt", WORDS)), 0) == Fix(49.01, 8.43, 114.7, 0.03, -0.02, 1.9)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (WORDS[:17], "30 numbers is expected, it has 17"),
        ([], "it has 0"),
        ([*WORDS[:4], "what", *WORDS[5:]], "no number"),
        (["nan", *WORDS[1:]], "no place on Earth"),
        (["91", *WORDS[1:]], "no place on Earth"),
        ([*WORDS, *WORDS], "it has 60"),
    ],
)
def test_a_line_that_is_no_fix_is_named_with_its_frame(tmp_path: Path, words: list[str], reason: str) -> None:
    path = fix_file(tmp_path / "0000000007.txt", words)
    with pytest.raises(DataError, match=reason) as caught:
        read_fix(str(path), 7)
    assert (caught.value.file, caught.value.frame) == (str(path), 7)


def test_the_map_has_its_zero_at_the_first_fix_east_north_and_up() -> None:
    origin = Fix(49.0, 8.4, 115.0, 0.0, 0.0, 0.0)
    np.testing.assert_allclose(imu_to_world(origin, origin), np.eye(4), atol=1e-12)
    # A nautical mile is a minute of arc, on this sphere 1855.3 m; eastwards it shrinks with the latitude.
    north = imu_to_world(origin._replace(latitude_deg=49.0 + 1 / 60), origin)[:3, 3]
    np.testing.assert_allclose(north, [0.0, 1855.3, 0.0], atol=0.5)
    east = imu_to_world(origin._replace(longitude_deg=8.4 + 1 / 60, altitude_m=117.0), origin)[:3, 3]
    np.testing.assert_allclose(east, [1855.325 * np.cos(np.radians(49.0)), 0.0, 2.0], atol=0.01)


def test_attitude_is_roll_then_pitch_then_yaw_about_fixed_axes() -> None:
    origin = Fix(49.0, 8.4, 115.0, 0.0, 0.0, 0.0)
    turned = imu_to_world(origin._replace(roll_rad=0.1, pitch_rad=-0.2, yaw_rad=2.0), origin)
    np.testing.assert_allclose(
        turned[:3, :3], Rotation.from_euler("xyz", [0.1, -0.2, 2.0]).as_matrix(), atol=1e-15
    )


@pytest.mark.real_data
def test_real_poses_are_the_devkits(shared_data: Path) -> None:
    """Its formulas in plain numpy and scipy, from the files themselves."""
    day = shared_data / "kitti_raw" / "2011_09_26"
    packets = [
        np.array(path.read_text().split(), dtype=np.float64)
        for path in sorted((day / "2011_09_26_drive_0013_sync/oxts/data").iterdir())
    ]
    scale, radius = np.cos(packets[0][0] * np.pi / 180.0), 6378137.0
    places = [
        [
            scale * packet[1] * np.pi * radius / 180.0,
            scale * radius * np.log(np.tan((90.0 + packet[0]) * np.pi / 360.0)),
            packet[2],
        ]
        for packet in packets
    ]
    camera_to_imu = np.linalg.inv(read_raw_calibration(str(day)).imu_to_camera)
    with open_drive(find_scenes(str(shared_data / "kitti_raw"))[0]) as capture:
        assert len(capture.frames) == 8
        for frame, packet, place in zip(capture.frames, packets, places, strict=True):
            expected = np.eye(4)
            expected[:3, :3] = Rotation.from_euler("xyz", packet[3:6]).as_matrix()
            expected[:3, 3] = np.subtract(place, places[0])
            np.testing.assert_allclose(frame.camera_to_world, expected @ camera_to_imu, atol=1e-6)


@pytest.mark.real_data
def test_real_poses_and_projections_are_pykittis(shared_data: Path) -> None:
    pykitti = pytest.importorskip("pykitti", reason="pykitti is not among the test packages: it wants pandas")
    drive = pykitti.raw(str(shared_data / "kitti_raw"), "2011_09_26", "0013")
    calibration = read_raw_calibration(str(shared_data / "kitti_raw" / "2011_09_26"))
    np.testing.assert_allclose(calibration.camera.matrix, drive.calib.K_cam2, atol=1e-12)
    np.testing.assert_allclose(calibration.lidar_to_camera, drive.calib.T_cam2_velo, atol=1e-12)
    with open_drive(find_scenes(str(shared_data / "kitti_raw"))[0]) as capture:
        for frame, fix in zip(capture.frames, drive.oxts, strict=True):
            theirs = fix.T_w_imu @ np.linalg.inv(drive.calib.T_cam2_imu)
            assert np.abs(frame.camera_to_world - theirs).max() < 1e-6
            scan = drive.get_velo(frame.index)[::50, :3]
            points = np.column_stack([scan, np.ones(len(scan))])
            ours, expected = (
                (k @ (pose @ points.T)[:3])
                for k, pose in (
                    (calibration.camera.matrix, calibration.lidar_to_camera),
                    (drive.calib.K_cam2, drive.calib.T_cam2_velo),
                )
            )
            ahead = expected[2] > 1.0
            assert (
                np.abs(ours[:2, ahead] / ours[2, ahead] - expected[:2, ahead] / expected[2, ahead]).max()
                < 1e-6
            )
