from __future__ import annotations

import os
import shutil
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
import pytest
from pretend_street import SEED, SPEC, truth, write_street

from pri3d_data.errors import DataError, UsageError
from pri3d_data.images import decode_color
from pri3d_data.kitti.drive import PART_FRAMES, KittiDrive, parts_of
from pri3d_data.kitti.scenes import find_scenes, open_drive
from pri3d_data.synth.kitti import drive_name
from pri3d_data.synth.raycast import render

DRIVE = drive_name(1)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small drive; read only."""
    return write_street(tmp_path_factory.mktemp("street"))


@pytest.fixture
def raw(written: Path, tmp_path: Path) -> Path:
    """A copy to break things in."""
    shutil.copytree(written, tmp_path / "raw")
    return tmp_path / "raw"


def folder(raw: Path) -> Path:
    return raw / "2000_01_01" / DRIVE


def one(raw: Path) -> KittiDrive:
    (drive,) = find_scenes(str(raw))
    return drive


def refusal(root: Path | str) -> str:
    with pytest.raises(UsageError) as caught:
        find_scenes(str(root))
    return str(caught.value)


# ---- finding


def test_drives_are_found_from_their_root_their_day_and_their_own_folder(written: Path) -> None:
    for root in (written, folder(written).parent, folder(written)):
        drive = one(root)
        assert (drive.scene, drive.layout, drive.first, drive.last) == (DRIVE, "raw", 0, 15)
        with open_drive(drive) as capture:
            assert [frame.index for frame in capture.frames] == list(range(16))


def test_a_rebuild_is_decided_by_every_file_of_the_drive_and_its_calibration(raw: Path) -> None:
    before = one(raw).stamps
    assert [name for name, _, _ in before] == [
        "calib_cam_to_cam.txt",
        "calib_imu_to_velo.txt",
        "calib_velo_to_cam.txt",
        "data/",
        "data/",
        "data/",
    ]
    assert one(raw).stamps == before
    for position, path in ((4, "velodyne_points/data/0000000007.bin"), (5, "oxts/data/0000000000.txt")):
        os.utime(folder(raw) / path, (1, 1))
        after = one(raw).stamps
        assert [a == b for a, b in zip(after, before, strict=True)].count(False) == 1
        assert after[position] != before[position]
        before = after
    (folder(raw).parent / "calib_velo_to_cam.txt").unlink()
    assert "calib_velo_to_cam.txt" not in {name for name, _, _ in one(raw).stamps}


def test_a_long_drive_is_several_scenes_each_with_frames_of_its_own() -> None:
    frames = list(range(5, 2 * PART_FRAMES + 7))
    parts = parts_of("drive", frames)
    assert [name for name, _, _ in parts] == [
        "drive-000000",
        f"drive-{PART_FRAMES:06d}",
        f"drive-{2 * PART_FRAMES:06d}",
    ]
    owned = [[frame for frame in frames if first <= frame <= last] for _, first, last in parts]
    assert [frame for part in owned for frame in part] == frames
    assert parts_of("drive", [3, 9]) == [("drive", 3, 9)]
    assert parts_of("drive", []) == [("drive", 0, 0)]


def test_drives_are_found_and_opened_by_url(written: Path) -> None:
    memory = fsspec.filesystem("memory")
    bucket = f"/{uuid4().hex}"
    memory.put(str(written), bucket, recursive=True)
    try:
        with open_drive(one(f"memory:/{bucket}")) as capture, open_drive(one(written)) as local:  # type: ignore[arg-type]
            for frame, other in zip(capture.frames, local.frames, strict=True):
                np.testing.assert_array_equal(frame.camera_to_world, other.camera_to_world)
            np.testing.assert_array_equal(capture.depth(capture.frames[3]), local.depth(local.frames[3]))
            assert capture.color(capture.frames[3]).data == local.color(local.frames[3]).data
    finally:
        memory.rm(bucket, recursive=True)


def test_what_is_no_drive_is_refused_saying_what_was_expected_and_found(tmp_path: Path) -> None:
    assert "an empty folder" in refusal(tmp_path)
    assert "velodyne_points and oxts" in refusal(tmp_path)
    assert "not a folder" in refusal(tmp_path / "gone")
    assert "nosuchscheme" in refusal("nosuchscheme://x")
    (tmp_path / "2011_09_26" / "2011_09_26_drive_0001_extract" / "oxts").mkdir(parents=True)
    assert "2011_09_26/" in refusal(tmp_path)
    assert "download the _sync ones" in refusal(tmp_path)


# ---- reading


def test_frames_know_their_true_place_camera_clock_and_file(written: Path) -> None:
    street = truth()
    origin = street.imu_to_world[0][:3, 3]
    with open_drive(one(written)) as capture:
        assert capture.depth_unit_m == 1 / 256
        assert not capture.lost
        assert not capture.broken
        for frame in capture.frames:
            expected = street.camera_to_world[frame.index].copy()
            expected[:3, 3] -= origin
            np.testing.assert_allclose(frame.camera_to_world, expected, atol=1e-7)
            assert frame.camera == frame.depth_camera == street.camera
            assert frame.name == f"image_02/data/{frame.index:010d}.png"
            assert frame.timestamp_us == 946_728_000_000_000 + 100_000 * frame.index


def test_images_are_the_streets(written: Path) -> None:
    street = truth()
    with open_drive(one(written)) as capture:
        image = decode_color(capture.color(capture.frames[4]))
        assert capture.labels(capture.frames[4]) is None
    camera = street.camera
    seen = render(street.street.arrays, camera.vector, camera.width, camera.height, street.camera_to_world[4])
    np.testing.assert_array_equal(image, seen.rgb)


def test_depth_is_the_streets_wherever_it_was_measured(written: Path) -> None:
    street = truth()
    camera = street.camera
    with open_drive(one(written)) as capture:
        depth_m = capture.depth(capture.frames[9]) / 256.0
    seen = render(street.street.arrays, camera.vector, camera.width, camera.height, street.camera_to_world[9])
    measured = depth_m > 0
    assert measured.mean() > 0.04
    # A point is rounded to its pixel, so on slanted surfaces and at edges its depth is a neighbour's.
    shifted = [np.roll(seen.depth_m, (v, u), (0, 1)) for v in (-1, 0, 1) for u in (-1, 0, 1)]
    low, high = np.min(shifted, axis=0)[measured], np.max(shifted, axis=0)[measured]
    assert ((low - 0.01 < depth_m[measured]) & (depth_m[measured] < high + 0.01)).mean() > 0.995


def test_only_frames_at_the_stride_and_up_to_the_tail_are_listed(written: Path) -> None:
    drive = one(written)
    part = KittiDrive(**(vars(drive) | {"first": 4, "last": 7}))
    with open_drive(part, beyond=3, stride=2) as capture:
        assert [frame.index for frame in capture.frames] == [4, 6, 8, 10]
    with open_drive(drive) as whole, open_drive(part) as capture:
        np.testing.assert_array_equal(capture.frames[0].camera_to_world, whole.frames[4].camera_to_world)


# ---- what is missing or broken


def test_frames_without_image_fix_or_scan_are_told_apart_and_named(raw: Path) -> None:
    (folder(raw) / "image_02/data/0000000002.png").unlink()
    (folder(raw) / "oxts/data/0000000005.txt").unlink()
    (folder(raw) / "oxts/data/0000000006.txt").write_text("49.0 8.4 115.0\n")
    (folder(raw) / "velodyne_points/data/0000000009.bin").unlink()
    (folder(raw) / "image_02/data/0000000012.png").unlink()
    (folder(raw) / "velodyne_points/data/0000000012.bin").unlink()
    with open_drive(one(raw)) as capture:
        assert [frame.index for frame in capture.frames] == [0, 1, 3, 4, 7, 8, 10, 11, 13, 14, 15]
        assert [(lost.frame, lost.file[-14:]) for lost in capture.lost] == [(9, "0000000009.bin")]
        assert [(lost.frame, lost.file[-14:]) for lost in capture.broken] == [
            (2, "0000000002.png"),
            (5, "0000000005.txt"),
            (6, "0000000006.txt"),
            (12, "0000000012.png"),
        ]
        assert "it has 3" in capture.broken[2].reason


def test_a_lost_first_fix_moves_the_worlds_zero_and_nothing_else(raw: Path, written: Path) -> None:
    (folder(raw) / "oxts/data/0000000000.txt").write_text("")
    with open_drive(one(raw)) as capture, open_drive(one(written)) as whole:
        assert capture.frames[0].index == 1
        for frame, other in zip(capture.frames[1:], whole.frames[2:], strict=True):
            step = np.linalg.inv(capture.frames[0].camera_to_world) @ frame.camera_to_world
            expected = np.linalg.inv(whole.frames[1].camera_to_world) @ other.camera_to_world
            np.testing.assert_allclose(step, expected, atol=1e-5)


def test_a_drive_without_any_fix_or_calibration_is_one_clear_error(raw: Path) -> None:
    shutil.rmtree(folder(raw) / "oxts")
    with pytest.raises(DataError, match=r"oxts/data: holds no poses"):
        open_drive(one(raw))
    (folder(raw).parent / "calib_cam_to_cam.txt").unlink()
    with pytest.raises(DataError, match=r"calib_cam_to_cam\.txt: the file does not exist"):
        open_drive(one(raw))


def test_a_cut_scan_or_image_concerns_its_frame_alone(raw: Path) -> None:
    scan, image = (
        folder(raw) / "velodyne_points/data/0000000003.bin",
        folder(raw) / "image_02/data/0000000003.png",
    )
    os.truncate(scan, 1000)
    os.truncate(image, 1000)
    with open_drive(one(raw)) as capture:
        frame = capture.frames[3]
        with pytest.raises(DataError, match="cut within a point"):
            capture.depth(frame)
        with pytest.raises(DataError, match="PNG"):
            decode_color(capture.color(frame))
        assert capture.depth(capture.frames[4]).any()


@pytest.mark.parametrize("text", ["", "yesterday\n", "2011-09-26 13:10:58.4\nlater\n"])
def test_times_that_cannot_be_read_are_zero(raw: Path, text: str) -> None:
    (folder(raw) / "image_02/timestamps.txt").write_text(text)
    with open_drive(one(raw)) as capture:
        assert capture.frames[0].timestamp_us == (1317042658400000 if text.startswith("2011") else 0)
        assert capture.frames[1].timestamp_us == 0


# ---- writing


def test_the_same_seed_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = write_street(tmp_path)
    files = sorted(path.relative_to(written) for path in written.rglob("*") if path.is_file())
    assert len(files) == 3 + 3 + 3 * SPEC.frames
    for file in files:
        assert (again / file).read_bytes() == (written / file).read_bytes()
    assert SEED != 0
