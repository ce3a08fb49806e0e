from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from pri3d_data.camera import Camera
from pri3d_data.errors import DataError, UsageError
from pri3d_data.images import decode_color, encode_jpeg
from pri3d_data.scannet import ScanNetCapture, ScanNetScene, find_scenes

SensBytes = Callable[..., bytes]
PlyBytes = Callable[..., bytes]
PICTURE = (np.arange(8 * 16 * 3).reshape(8, 16, 3) % 251).astype(np.uint8)
DEPTH = (np.arange(8 * 16).reshape(8, 16) * 31).astype(np.uint16)
MINUS_INFINITY = [-np.inf] * 16


def pose(x: float) -> list[float]:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec([0.1, x, -0.3]).as_matrix()
    matrix[0, 3] = x
    return [float(value) for value in matrix.ravel()]


def frames(poses: list[list[float]]) -> list[tuple[object, ...]]:
    color, depth = encode_jpeg(PICTURE), zlib.compress(DEPTH.tobytes())
    return [(matrix, 1000 * i, 1000 * i + 7, color, depth) for i, matrix in enumerate(poses)]


def add_scene(folder: Path, sens: bytes = b"sens", mesh: bytes | None = b"mesh") -> Path:
    folder.mkdir(parents=True)
    (folder / f"{folder.name}.sens").write_bytes(sens)
    if mesh is not None:
        (folder / f"{folder.name}_vh_clean_2.ply").write_bytes(mesh)
    return folder


def names(root: Path | str) -> list[str]:
    return [scene.scene for scene in find_scenes(str(root))]


def refusal(root: Path | str) -> str:
    with pytest.raises(UsageError) as caught:
        find_scenes(str(root))
    assert str(root) in str(caught.value)
    return str(caught.value)


# ---- finding scenes


def test_scenes_below_scans_are_found_sorted_by_name(tmp_path: Path) -> None:
    for name in ("scene0706_00", "scene0000_01", "scene0010_00", "scene0000_00"):
        add_scene(tmp_path / "scans" / name)
    (tmp_path / "scans" / "README.txt").write_text("terms of use")
    (tmp_path / "scans_test").mkdir()
    assert names(tmp_path) == ["scene0000_00", "scene0000_01", "scene0010_00", "scene0706_00"]


def test_the_scans_folder_itself_a_flat_folder_and_a_single_scene_work_too(tmp_path: Path) -> None:
    for name in ("scene0001_00", "scene0000_00"):
        add_scene(tmp_path / "scans" / name)
    assert names(tmp_path / "scans") == ["scene0000_00", "scene0001_00"]
    assert names(f"{tmp_path}/scans/") == ["scene0000_00", "scene0001_00"]
    assert names(tmp_path / "scans" / "scene0001_00") == ["scene0001_00"]


def test_a_folder_of_any_name_counts_when_its_sens_file_is_named_alike(tmp_path: Path) -> None:
    add_scene(tmp_path / "my_kitchen")
    (tmp_path / "notes").mkdir()
    assert names(tmp_path) == ["my_kitchen"]


def test_a_scene_says_where_its_files_lie_and_what_a_rebuild_is_decided_by(tmp_path: Path) -> None:
    folder = add_scene(tmp_path / "scene0000_00", b"12345", b"123")
    scene = find_scenes(str(tmp_path))[0]
    assert Path(scene.sens) == folder / "scene0000_00.sens"
    assert Path(scene.mesh) == folder / "scene0000_00_vh_clean_2.ply"
    assert [(name, size) for name, size, _ in scene.stamps] == [
        ("scene0000_00.sens", 5),
        ("scene0000_00_vh_clean_2.ply", 3),
    ]
    os.utime(scene.mesh, (1, 1))
    changed = find_scenes(str(tmp_path))[0]
    assert changed.stamps[0] == scene.stamps[0]
    assert changed.stamps[1] != scene.stamps[1]


def test_a_scene_that_lacks_its_files_is_listed_so_that_its_failure_can_be_told(tmp_path: Path) -> None:
    add_scene(tmp_path / "scans/scene0000_00")
    add_scene(tmp_path / "scans/scene0001_00", mesh=None)
    (tmp_path / "scans/scene0002_00").mkdir()
    stamps = {scene.scene: [stamp[0] for stamp in scene.stamps] for scene in find_scenes(str(tmp_path))}
    assert stamps["scene0001_00"] == ["scene0001_00.sens"]
    assert stamps["scene0002_00"] == []


def test_scenes_are_found_and_opened_by_url(sens_bytes: SensBytes, ply_bytes: PlyBytes) -> None:
    memory = fsspec.filesystem("memory")
    bucket = f"/{uuid4().hex}"
    scene = f"{bucket}/scans/scene0000_00/scene0000_00"
    memory.pipe_file(f"{scene}.sens", sens_bytes(frames([pose(0.0)])))
    memory.pipe_file(f"{scene}_vh_clean_2.ply", ply_bytes(np.eye(3, dtype=np.float32), PICTURE[0, :3]))
    try:
        found = find_scenes(f"memory:/{bucket}")
        assert [one.scene for one in found] == ["scene0000_00"]
        with ScanNetCapture(found[0], stride=1) as capture:
            np.testing.assert_array_equal(capture.depth(capture.frames[0]), DEPTH)
            np.testing.assert_array_equal(capture.surface().points_world, np.eye(3))
    finally:
        memory.rm(bucket, recursive=True)


@pytest.mark.real_data
def test_the_real_room_is_found(shared_data: Path) -> None:
    scene = find_scenes(str(shared_data / "scannet_layout_7scenes"))[0]
    assert scene.scene == "scene0900_00"
    assert [name for name, _, _ in scene.stamps] == ["scene0900_00.sens", "scene0900_00_vh_clean_2.ply"]


def test_a_missing_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for root in (tmp_path / "gone", tmp_path / "file"):
        assert "not a folder" in refusal(root)


def test_an_unknown_url_scheme_is_refused() -> None:
    assert "nosuchscheme" in refusal("nosuchscheme://bucket/scannet")


def test_an_empty_folder_is_refused_saying_what_was_expected(tmp_path: Path) -> None:
    text = refusal(tmp_path)
    assert "scans/<scene>/<scene>.sens" in text
    assert "_vh_clean_2.ply" in text
    assert "an empty folder" in text


def test_a_folder_of_something_else_is_refused_saying_what_was_found(tmp_path: Path) -> None:
    for i in range(9):
        (tmp_path / f"2011_09_{i:02}").mkdir()
    (tmp_path / "calib.txt").write_text("x")
    text = refusal(tmp_path)
    assert "2011_09_00/" in text
    assert "and more" in text
    assert "scannet_frames_25k" not in text


def test_exported_frames_are_recognised_and_refused_with_the_way_out(tmp_path: Path) -> None:
    for scene in ("scene0000_00", "scene0000_01"):
        for kind in ("color", "depth", "pose", "label"):
            (tmp_path / scene / kind).mkdir(parents=True)
            (tmp_path / scene / kind / "000000.txt").write_text("x")
    text = refusal(tmp_path)
    assert "scene0000_00/" in text
    assert "scannet_frames_25k" in text
    assert "--type .sens" in text


def test_a_folder_that_may_not_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_scene(tmp_path / "scans" / "scene0000_00")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(LocalFileSystem, "ls", forbidden)
    assert "Permission denied" in refusal(tmp_path)


# ---- opening one


@pytest.fixture
def scene(tmp_path: Path, sens_bytes: SensBytes, ply_bytes: PlyBytes) -> ScanNetScene:
    """Twelve frames, of which 4 lost tracking, 6 has a mirrored pose and 8 one far from Earth."""
    poses = [pose(0.1 * i) for i in range(12)]
    poses[4] = MINUS_INFINITY
    poses[6] = np.diag([-1.0, 1, 1, 1]).ravel().tolist()
    poses[8] = pose(1e7)
    mesh = ply_bytes(np.eye(3, dtype=np.float32), PICTURE[0, :3])
    add_scene(tmp_path / "scene0000_00", sens_bytes(frames(poses), imu=2), mesh)
    return find_scenes(str(tmp_path))[0]


def test_frames_without_a_valid_pose_are_left_out_and_told(scene: ScanNetScene) -> None:
    with ScanNetCapture(scene, stride=1) as capture:
        assert [frame.index for frame in capture.frames] == [0, 1, 2, 3, 5, 7, 9, 10, 11]
        assert [lost.frame for lost in capture.lost] == [4, 6, 8]
        for lost in capture.lost:
            assert lost.file == scene.sens
            assert lost.offset > 0
            assert "pose" in lost.reason


def test_only_frames_at_the_stride_are_listed_or_counted_as_lost(scene: ScanNetScene) -> None:
    with ScanNetCapture(scene, stride=2) as capture:
        assert [frame.index for frame in capture.frames] == [0, 2, 10]
    with ScanNetCapture(scene, stride=3) as capture:
        assert [frame.index for frame in capture.frames] == [0, 3, 9]
        assert [lost.frame for lost in capture.lost] == [6]
    with ScanNetCapture(scene) as capture:
        assert [frame.index for frame in capture.frames] == [0]


def test_frames_give_their_own_pixels_and_clock(scene: ScanNetScene) -> None:
    with ScanNetCapture(scene, stride=1) as capture:
        assert capture.depth_unit_m == 0.001
        for frame in capture.frames:
            assert frame.timestamp_us == 1000 * frame.index
            np.testing.assert_array_equal(capture.depth(frame), DEPTH)
            assert capture.color(frame).data == encode_jpeg(PICTURE)
            assert decode_color(capture.color(frame)).shape == (8, 16, 3)
        np.testing.assert_array_equal(capture.surface().points_world, np.eye(3))


def test_extrinsics_take_a_camera_to_the_sensor_and_the_pose_the_sensor_to_the_world(
    tmp_path: Path, sens_bytes: SensBytes
) -> None:
    color, depth = pose(-0.2), pose(0.7)
    focal = {
        "intrinsic_color": np.diag([500.0, 501.0, 1, 1]).ravel(),
        "intrinsic_depth": np.diag([300.0, 301.0, 1, 1]).ravel(),
    }
    data = sens_bytes(
        frames([pose(1.0)]),
        extrinsic_color=color,
        extrinsic_depth=depth,
        color_size=(32, 24),
        shift=5000.0,
        **focal,
    )
    add_scene(tmp_path / "scene0000_00", data)
    with ScanNetCapture(find_scenes(str(tmp_path))[0]) as capture:
        frame = capture.frames[0]
        assert capture.depth_unit_m == pytest.approx(1 / 5000)
    assert frame.camera == Camera(32, 24, 500.0, 501.0, 0.0, 0.0)
    assert frame.depth_camera == Camera(16, 8, 300.0, 301.0, 0.0, 0.0)
    point = np.array([0.3, -0.4, 2.0, 1.0])
    for to_world, extrinsic in ((frame.camera_to_world, color), (frame.depth_to_world, depth)):
        assert to_world is not None
        in_sensor = np.reshape(extrinsic, (4, 4)) @ point
        np.testing.assert_allclose(to_world @ point, np.reshape(pose(1.0), (4, 4)) @ in_sensor, atol=1e-6)


def test_a_cut_capture_keeps_the_frames_before_the_cut_and_tells_of_it(scene: ScanNetScene) -> None:
    header, tail = 310, 8 + 2 * 128
    record = (Path(scene.sens).stat().st_size - header - tail) // 12
    os.truncate(scene.sens, header + 7 * record + record // 2)
    with ScanNetCapture(scene, stride=1) as capture:
        assert [frame.index for frame in capture.frames] == [0, 1, 2, 3, 5]
        for frame in capture.frames:
            np.testing.assert_array_equal(capture.depth(frame), DEPTH)
        assert [lost.frame for lost in capture.lost] == [4, 6, 7]
        cut = capture.lost[-1]
        assert (cut.file, cut.offset) == (scene.sens, header + 7 * record)
        assert "5 of the 12 frames" in cut.reason


def test_a_missing_capture_or_mesh_is_named(scene: ScanNetScene) -> None:
    Path(scene.mesh).unlink()
    with (
        ScanNetCapture(scene) as capture,
        pytest.raises(DataError, match=r"scene0000_00_vh_clean_2\.ply: the file does not exist"),
    ):
        capture.surface()
    Path(scene.sens).unlink()
    with pytest.raises(DataError, match=r"scene0000_00\.sens: the file does not exist"):
        ScanNetCapture(scene)


def test_a_foreign_capture_is_refused_when_opened(scene: ScanNetScene) -> None:
    Path(scene.sens).write_bytes(b"PK\x03\x04" + bytes(1000))
    with pytest.raises(DataError, match="version") as caught:
        ScanNetCapture(scene)
    assert caught.value.file == scene.sens


@pytest.mark.real_data
def test_the_lost_pose_of_the_official_file_is_counted(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "jpeg640_zlib"
    folder.mkdir()
    (folder / "jpeg640_zlib.sens").symlink_to(shared_data / "sens_official_writer" / "jpeg640_zlib.sens")
    with ScanNetCapture(find_scenes(str(tmp_path))[0], stride=1) as capture:
        assert [frame.index for frame in capture.frames] == [i for i in range(30) if i != 7]
        assert [lost.frame for lost in capture.lost] == [7]


@pytest.mark.real_data
def test_the_points_of_a_real_frame_lie_on_the_real_mesh(shared_data: Path) -> None:
    scene = find_scenes(str(shared_data / "scannet_layout_7scenes"))[0]
    with ScanNetCapture(scene, stride=5) as capture:
        assert len(capture.frames) == 40
        tree = cKDTree(capture.surface().points_world)
        for frame in capture.frames[::13]:
            assert frame.depth_camera is not None
            assert frame.depth_to_world is not None
            depth = capture.depth(frame)
            v, u = (axis[::97] for axis in np.nonzero((depth > 0) & (depth < 3000)))
            z = depth[v, u] * capture.depth_unit_m
            camera = frame.depth_camera
            local = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z, z**0])
            distance, _ = tree.query((frame.depth_to_world @ local)[:3].T)
            assert np.median(distance) < 0.02
