from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from pretend_street import seen_by_camera, truth, write_odometry, write_street

from pri3d_data.errors import DataError, UsageError
from pri3d_data.images import decode_color
from pri3d_data.kitti.drive import KittiDrive
from pri3d_data.kitti.odometry import SEQUENCES
from pri3d_data.kitti.scenes import find_scenes, open_drive
from pri3d_data.synth.raycast import render

ZERO, EIGHT = "2011_10_03_drive_0027_sync", "2011_09_30_drive_0028_sync"


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drives: sequence 00 begins with its raw drive, sequence 08 at raw frame 1100. Read only."""
    root = tmp_path_factory.mktemp("odometry")
    write_odometry(root, ZERO, "00", 0, range(5, 11), "val")
    write_odometry(root, EIGHT, "08", 1100, range(1097, 1106))
    return root


@pytest.fixture
def raw(written: Path, tmp_path: Path) -> Path:
    """A copy to break things in."""
    shutil.copytree(written, tmp_path / "raw")
    return tmp_path / "raw"


def drives(root: Path) -> dict[str, KittiDrive]:
    return {drive.scene: drive for drive in find_scenes(str(root))}


def sequence(root: Path, name: str = "00") -> Path:
    return root / "odometry/data_odometry_color/dataset/sequences" / name


def maps(root: Path) -> Path:
    return root / "data_depth_annotated/val" / ZERO / "proj_depth/groundtruth/image_02"


def test_the_table_is_the_devkits() -> None:
    """Ten drives (sequence 03 was withdrawn), of which one sequence begins later than its drive."""
    assert sorted(sequence for sequence, _, _ in SEQUENCES.values()) == [
        *("00", "01", "02", "04", "05", "06", "07", "08", "09", "10")
    ]
    lengths = {name: last - first + 1 for name, first, last in SEQUENCES.values()}
    assert lengths == {
        "00": 4541, "01": 1101, "02": 4661, "04": 271, "05": 2761,
        "06": 1101, "07": 1101, "08": 4071, "09": 1591, "10": 1201,
    }  # fmt: skip
    assert {name: first for name, first, _ in SEQUENCES.values() if first} == {"08": 1100}


def test_drives_of_both_splits_are_found(written: Path) -> None:
    found = drives(written)
    assert list(found) == [EIGHT, ZERO]
    assert {drive.layout for drive in found.values()} == {"odometry"}
    assert (found[ZERO].first, found[ZERO].last) == (5, 10)
    assert (found[EIGHT].first, found[EIGHT].last) == (1100, 1105)


def test_downloads_put_together_otherwise_are_found_too(written: Path, tmp_path: Path) -> None:
    shutil.copytree(sequence(written).parents[1], tmp_path / "dataset")
    shutil.copytree(written / "odometry/data_odometry_velodyne/dataset/poses", tmp_path / "dataset/poses")
    shutil.copytree(written / "data_depth_annotated/val", tmp_path / "val")
    assert list(drives(tmp_path)) == [ZERO]


def test_depth_maps_without_poses_or_images_are_refused_saying_what_is_missing(raw: Path) -> None:
    shutil.rmtree(raw / "odometry/data_odometry_velodyne")
    with pytest.raises(UsageError, match="no odometry poses"):
        drives(raw)
    shutil.rmtree(raw / "odometry/data_odometry_color")
    (raw / "poses").mkdir()
    with pytest.raises(UsageError, match="no odometry images and calibration"):
        drives(raw)


def test_both_layouts_in_one_folder_are_refused(raw: Path) -> None:
    write_street(raw)
    with pytest.raises(UsageError, match="both raw drives"):
        drives(raw)


@pytest.mark.parametrize(
    ("drive", "offset", "numbers"), [(ZERO, 0, range(5, 11)), (EIGHT, 1100, range(1100, 1106))]
)
def test_depth_image_pose_and_time_of_a_frame_belong_together(
    written: Path, drive: str, offset: int, numbers: range
) -> None:
    """Sequence 08 too: depth maps count raw frames, poses and images from raw frame 1100 on."""
    street = truth()
    camera = street.camera
    with open_drive(drives(written)[drive]) as capture:
        assert [frame.index for frame in capture.frames] == list(numbers)
        for frame in capture.frames:
            index = frame.index - offset
            reference_to_world = street.camera_to_world[0] @ street.reference_to_camera
            expected = np.linalg.inv(reference_to_world) @ street.camera_to_world[index]
            np.testing.assert_allclose(frame.camera_to_world, expected, atol=1e-9)
            np.testing.assert_allclose(frame.camera.vector, camera.vector)
            assert frame.timestamp_us == 100_000 * index
            assert frame.name == f"image_2/{index:06d}.png"
        frame = capture.frames[2]
        seen = seen_by_camera(street, frame.index - offset)
        depth_m = capture.depth(frame) * capture.depth_unit_m
        np.testing.assert_allclose(depth_m[seen.row, seen.column], seen.depth_m, atol=0.5 / 256)
        image = decode_color(capture.color(frame))
    pose = street.camera_to_world[frame.index - offset]
    np.testing.assert_array_equal(
        image, render(street.street.arrays, camera.vector, camera.width, camera.height, pose).rgb
    )


def test_a_frame_without_pose_or_image_is_named(raw: Path) -> None:
    poses = raw / "odometry/data_odometry_velodyne/dataset/poses/00.txt"
    lines = poses.read_text().splitlines()
    lines[7], lines[8] = "1 2 3", lines[8].replace(lines[8].split()[3], "nan", 1)
    lines[9] = "2 0 0 0 0 2 0 0 0 0 2 0"
    poses.write_text("\n".join(lines[:10]))
    (sequence(raw) / "image_2/000006.png").unlink()
    with open_drive(drives(raw)[ZERO]) as capture:
        assert [frame.index for frame in capture.frames] == [5]
        assert [(broken.frame, Path(broken.file).name) for broken in capture.broken] == [
            (6, "000006.png"),
            (7, "00.txt"),
            (8, "00.txt"),
            (9, "00.txt"),
            (10, "00.txt"),
        ]
        reasons = [broken.reason for broken in capture.broken]
    assert "line 8 is no pose of 12 numbers" in reasons[1]
    assert "line 9 holds no rotation" in reasons[2]
    assert "line 10 holds no rotation" in reasons[3]
    assert "has 10 lines; the frame's pose would be in line 11" in reasons[4]


def test_missing_or_incomplete_calibration_and_poses_are_one_clear_error(raw: Path) -> None:
    calibration = sequence(raw) / "calib.txt"
    calibration.write_text(calibration.read_text().replace("P2:", "Q2:"))
    with pytest.raises(DataError, match=r"calib\.txt: has no numbers for the key 'P2'"):
        open_drive(drives(raw)[ZERO])
    calibration.unlink()
    with pytest.raises(DataError, match=r"calib\.txt: the file does not exist"):
        open_drive(drives(raw)[ZERO])
    (raw / "odometry/data_odometry_velodyne/dataset/poses/00.txt").unlink()
    with pytest.raises(DataError, match=r"00\.txt: the file does not exist"):
        open_drive(drives(raw)[ZERO])


def test_a_depth_map_that_is_none_concerns_its_frame_alone(raw: Path) -> None:
    size = (truth().camera.height, truth().camera.width)
    cv2.imwrite(str(maps(raw) / "0000000005.png"), np.full(size, 200, np.uint8))
    cv2.imwrite(str(maps(raw) / "0000000006.png"), np.full(size, 200, np.uint16))
    cv2.imwrite(str(maps(raw) / "0000000007.png"), np.full((9, 9), 2000, np.uint16))
    (maps(raw) / "0000000008.png").write_bytes(b"no png at all")
    with open_drive(drives(raw)[ZERO]) as capture:
        for frame, reason in zip(
            capture.frames,
            ("not a 16-bit grey PNG", "no value is above 255", "its depth is 9x9", "no PNG header"),
            strict=False,
        ):
            with pytest.raises(DataError, match=reason) as caught:
                capture.depth(frame)
            assert caught.value.frame == frame.index
        assert capture.depth(capture.frames[4]).any()


def test_a_broken_first_image_does_not_hide_the_others_size(raw: Path) -> None:
    (sequence(raw) / "image_2/000000.png").write_bytes(b"")
    with open_drive(drives(raw)[ZERO]) as capture:
        assert (capture.frames[0].camera.width, capture.frames[0].camera.height) == (621, 188)
