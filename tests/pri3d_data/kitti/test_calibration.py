from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pretend_street import SPEC, truth
from scipy.spatial.transform import Rotation

from pri3d_data.errors import DataError
from pri3d_data.kitti.calibration import read_raw_calibration, read_rows
from pri3d_data.synth.kitti import write_kitti_drive

FILES = ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "calib_imu_to_velo.txt")


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """A recording day's files by hand: every mount turned and shifted its own way."""
    turn = Rotation.from_rotvec([0.02, -0.01, 0.03]).as_matrix().ravel()
    words = " ".join(map(repr, turn.tolist()))
    (tmp_path / FILES[0]).write_text(
        "calib_time: 09-Jan-2012 13:57:47\ncorner_dist: 9.95e-02\nS_rect_02: 1.2e+03 4e+02\n"
        f"R_rect_00: {words}\nP_rect_02: 700 0 600 70 0 700 180 0.2 0 0 1 0.003\n"
    )
    for name in FILES[1:]:
        (tmp_path / name).write_text(f"calib_time: x\nR: {words}\nT: 0.1 0.2 0.3\ndelta_f: 0 0\n")
    return tmp_path


def test_mounts_are_chained_from_the_unit_over_scanner_and_reference_to_camera_2(day: Path) -> None:
    calibration = read_raw_calibration(str(day))
    turn = Rotation.from_rotvec([0.02, -0.01, 0.03])
    point = np.array([3.0, -2.0, 1.0])
    shift, aside = np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.0, 0.0])
    at_lidar = turn.apply(point) + shift
    at_camera = turn.apply(turn.apply(at_lidar) + shift) + aside
    for matrix, start in ((calibration.imu_to_camera, point), (calibration.lidar_to_camera, at_lidar)):
        np.testing.assert_allclose((matrix @ [*start, 1.0])[:3], at_camera, atol=1e-12)
    camera = calibration.camera
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (
        1200,
        400,
        700,
        700,
        600,
        180,
    )


@pytest.mark.parametrize(
    ("file", "key"),
    [(0, "S_rect_02"), (0, "R_rect_00"), (0, "P_rect_02"), (1, "R"), (1, "T"), (2, "R"), (2, "T")],
)
def test_a_missing_key_or_number_is_named_with_its_file(day: Path, file: int, key: str) -> None:
    path = day / FILES[file]
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(f"{key}:")))
    with pytest.raises(DataError, match=f"'{key}'") as caught:
        read_raw_calibration(str(day))
    assert caught.value.file == str(path)
    broken = [f"{line.rpartition(' ')[0]} nan" if line.startswith(f"{key}:") else line for line in lines]
    path.write_text("\n".join(broken))
    with pytest.raises(DataError, match=f"'{key}' needs"):
        read_raw_calibration(str(day))


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(day: Path, file: str) -> None:
    (day / file).unlink()
    with pytest.raises(DataError, match=rf"{file}: the file does not exist"):
        read_raw_calibration(str(day))


@pytest.mark.parametrize(
    ("key", "row", "reason"),
    [
        ("S_rect_02", "1e300 400", "pixels"),
        ("S_rect_02", "-1 400", "pixels"),
        ("P_rect_02", "0 0 600 70 0 700 180 0.2 0 0 1 0.003", "focal"),
        ("R_rect_00", "1 0 0 0 1 0 0 0 -1", "rotation"),
        ("R_rect_00", "2 0 0 0 2 0 0 0 2", "rotation"),
    ],
)
def test_what_no_camera_has_is_refused(day: Path, key: str, row: str, reason: str) -> None:
    path = day / FILES[0]
    lines = [line for line in path.read_text().splitlines() if not line.startswith(f"{key}:")]
    path.write_text("\n".join([*lines, f"{key}: {row}"]))
    with pytest.raises(DataError, match=reason):
        read_raw_calibration(str(day))


def test_rows_of_words_and_bytes_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "calib.txt").write_bytes(b"calib_time: today\n\xff\xfe\x00: 1\nno colon 3\nP2: 1 2\nempty:\n")
    rows = read_rows(str(tmp_path / "calib.txt"))
    assert rows["P2"].tolist() == [1.0, 2.0]
    assert "calib_time" not in rows
    assert "empty" not in rows


def test_a_file_far_too_long_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "calib.txt").write_bytes(bytes(1 << 21))
    with pytest.raises(DataError, match="far more"):
        read_rows(str(tmp_path / "calib.txt"))


def test_a_made_up_day_says_exactly_how_its_drives_were_seen(tmp_path: Path) -> None:
    folder = write_kitti_drive(tmp_path, 1, type(SPEC)(frames=1, image_size=SPEC.image_size, azimuths=8), 5)
    calibration, street = read_raw_calibration(str(folder.parent)), truth()
    np.testing.assert_allclose(calibration.lidar_to_camera, street.lidar_to_camera, atol=1e-15)
    np.testing.assert_allclose(
        calibration.imu_to_camera, street.lidar_to_camera @ street.imu_to_lidar, atol=1e-15
    )
    assert calibration.camera == street.camera
