"""Folders in every known layout hold the frames of one made-up scan, and must build to what the scan builds to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.spatial.transform import Rotation

from pipelines.build import BuildSummary, build
from pipelines.parameters import BuildParameters
from pipelines.plan import BuildRequest
from pipelines.registry import DATASETS
from pipelines.rgbd_folder import parse_intrinsics
from pri3d_data.errors import UsageError
from pri3d_data.scannet import ScanNetCapture, find_scenes
from shards.dataset import Dataset
from shards.verify import verify

STRIDE = 4


class Scan:
    """Depth, colour of the same size and pose of every frame of a made-up scan."""

    def __init__(self, root: Path) -> None:
        scene = find_scenes(str(root))[0]
        self.mesh = Path(scene.mesh)
        with ScanNetCapture(scene, 1) as capture:
            self.depth_unit_m = capture.depth_unit_m
            self.frames = [frame.index for frame in capture.frames]
            self.depths = [capture.depth(frame) for frame in capture.frames]
            self.poses = [frame.depth_to_world for frame in capture.frames]
            camera = capture.frames[0].depth_camera
        assert camera is not None
        self.camera = camera
        random = np.random.default_rng(0)
        shape = (camera.height, camera.width, 3)
        self.colors = [random.integers(0, 256, shape).astype(np.uint8) for _ in self.frames]


@pytest.fixture(scope="module")
def scan(made_up: Path) -> Scan:
    return Scan(made_up)


def text_of(matrix: Any) -> str:
    return "\n".join(" ".join(f"{value:.17g}" for value in row) for row in matrix)


def side_by_side(scan: Scan, folder: Path) -> None:
    for number, depth, color, pose in zip(scan.frames, scan.depths, scan.colors, scan.poses, strict=True):
        kinect = np.where(depth == 0, 65535, depth).astype(np.uint16)
        cv2.imwrite(str(folder / f"frame-{number:06d}.depth.png"), kinect)
        cv2.imwrite(str(folder / f"frame-{number:06d}.color.png"), color)
        (folder / f"frame-{number:06d}.pose.txt").write_text(text_of(pose))
    (folder / "intrinsics.txt").write_text(text_of(scan.camera.matrix))


def in_folders(scan: Scan, folder: Path) -> None:
    for part in ("color", "depth", "pose"):
        (folder / part).mkdir()
    for number, depth, color, pose in zip(scan.frames, scan.depths, scan.colors, scan.poses, strict=True):
        cv2.imwrite(str(folder / f"depth/{number}.png"), depth)
        cv2.imwrite(str(folder / f"color/{number}.jpg"), color)
        (folder / f"pose/{number}.txt").write_text(text_of(pose))
    (folder / "intrinsic_color.txt").write_text(text_of(np.pad(scan.camera.matrix, ((0, 1), (0, 1)))))


def open3ds(scan: Scan, folder: Path) -> None:
    in_folders(scan, folder)
    for file in (folder / "pose").iterdir():
        file.unlink()
    (folder / "pose").rmdir()
    (folder / "intrinsic_color.txt").unlink()
    blocks = [f"{n} {n} {n}\n{text_of(pose)}\n" for n, pose in zip(scan.frames, scan.poses, strict=True)]
    (folder / "trajectory.log").write_text("".join(blocks))
    (folder / "odometry.log").write_text("not the one to take")
    matrix = {"intrinsic_matrix": scan.camera.matrix.T.ravel().tolist()}
    (folder / "camera_primesense.json").write_text(json.dumps(matrix))


def tums(scan: Scan, folder: Path) -> None:
    lists: dict[str, list[str]] = {"rgb": [], "depth": [], "groundtruth": []}
    for part in ("rgb", "depth"):
        (folder / part).mkdir()
    for number, depth, color, pose in zip(scan.frames, scan.depths, scan.colors, scan.poses, strict=True):
        assert pose is not None
        time = 1_300_000_000 + number / 30
        cv2.imwrite(str(folder / f"rgb/{time:.6f}.png"), color)
        cv2.imwrite(str(folder / f"depth/{time + 0.004:.6f}.png"), depth)
        lists["rgb"].append(f"{time:.6f} rgb/{time:.6f}.png")
        lists["depth"].append(f"{time + 0.004:.6f} depth/{time + 0.004:.6f}.png")
        values = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
        lists["groundtruth"].append(f"{time + 0.003:.6f} " + " ".join(f"{value:.17g}" for value in values))
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("# a comment\n" + "\n".join(lines) + "\n")


def built(raw: Path, out: Path, **changes: Any) -> BuildSummary:
    class Silent:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *args: None

    dataset = DATASETS["rgbd"]
    parameters = replace(dataset.presets["paper"], stride=STRIDE, image_size=None, **changes)
    request = BuildRequest(dataset, str(raw), str(out), BuildParameters(parameters))
    return build(request, 0, None, Silent())


def intrinsics(scan: Scan) -> tuple[float, ...]:
    return tuple(scan.camera.vector.tolist())


@pytest.mark.parametrize("layout", [side_by_side, in_folders, open3ds, tums])
def test_every_layout_builds_to_the_pairs_of_the_scan_it_was_made_of(
    layout: Callable[[Scan, Path], None], scan: Scan, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "raw" / "room one"
    folder.mkdir(parents=True)
    layout(scan, folder)
    (folder / "mesh.ply").write_bytes(scan.mesh.read_bytes())
    said = {"intrinsics": intrinsics(scan)} if layout is tums else {}
    summary = built(tmp_path / "raw", tmp_path / "out", depth_unit_m=scan.depth_unit_m, **said)
    assert list(summary.records) == ["room-one"]
    assert summary.failures == []
    assert list(verify(Dataset(str(tmp_path / "out")))) == []
    tables = {}
    for name, out in (("scan", undisturbed), ("folder", tmp_path / "out")):
        rows = pq.read_table(out / "tables/pairs.parquet").to_pylist()
        tables[name] = [row | {"scene": ""} for row in rows if row["scene"] in ("scene0000_00", "room-one")]
    assert len(tables["scan"]) == len(tables["folder"]) > 5
    for ours, true in zip(tables["folder"], tables["scan"], strict=True):
        # Angles are those of the colour cameras, of which the scan has one beside its depth camera.
        assert {**ours, "angle": 0, "scale_ratio": 0} == {**true, "angle": 0, "scale_ratio": 0}
    voxels = [
        pq.read_table(out / "tables/scenes.parquet")["voxels"][0].as_py()
        for out in (undisturbed, tmp_path / "out")
    ]
    assert voxels[0] == voxels[1]


def test_frames_without_a_pose_are_recorded_and_do_not_fail_the_build(scan: Scan, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    side_by_side(scan, folder)
    lost = folder / f"frame-{scan.frames[STRIDE]:06d}.pose.txt"
    lost.write_text(text_of(np.full((4, 4), -np.inf)))
    summary = built(folder, tmp_path / "out", depth_unit_m=scan.depth_unit_m)
    assert [(f.frame, f.stage) for f in summary.failures] == [(scan.frames[STRIDE], "index")]
    assert summary.exit_status == 0


def test_broken_files_cost_their_frame(scan: Scan, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    side_by_side(scan, folder)
    one, two, three = (f"frame-{scan.frames[i * STRIDE]:06d}" for i in (1, 2, 3))
    (folder / f"{one}.color.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (folder / f"{two}.depth.png").write_bytes((folder / f"{two}.depth.png").read_bytes()[:60])
    cv2.imwrite(str(folder / f"{three}.depth.png"), np.ones((10, 10), np.uint16))
    summary = built(folder, tmp_path / "out", depth_unit_m=scan.depth_unit_m)
    named = {Path(failure.file).name for failure in summary.failures}
    assert named == {f"{one}.color.png", f"{two}.depth.png", f"{three}.depth.png"}
    assert summary.exit_status == 1


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("intrinsics.txt", "", "camera file"),
        ("intrinsics.txt", "0 0 0 0 0 0 0 0 0", "focal lengths"),
        ("intrinsics.txt", None, "--intrinsics"),
    ],
)
def test_a_folder_without_a_camera_fails_with_a_way_out(
    file: str, text: str | None, said: str, scan: Scan, tmp_path: Path
) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    side_by_side(scan, folder)
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    summary = built(folder, tmp_path / "out", depth_unit_m=scan.depth_unit_m)
    assert summary.records == {}
    reasons = " ".join(failure.reason for failure in summary.failures)
    assert said in reasons or said == "--intrinsics"
    assert "intrinsics" in reasons or "camera" in reasons or "focal" in reasons


def test_a_folder_of_something_else_is_said(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "photo.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"X\.pose\.txt"):
        built(tmp_path / "raw", tmp_path / "out")


@pytest.mark.parametrize("text", ["585", "a,b,c,d", "0,1,2,3", "1,2,3,4,5"])
def test_intrinsics_that_are_none_are_said(text: str) -> None:
    with pytest.raises(UsageError, match="--intrinsics"):
        parse_intrinsics(text)


@pytest.mark.real_data
def test_open3ds_sample_builds(shared_data: Path, tmp_path: Path) -> None:
    dataset = DATASETS["rgbd"]
    parameters = BuildParameters(replace(dataset.presets["paper"], stride=1))
    request = BuildRequest(dataset, str(shared_data / "open3d_rgbd"), str(tmp_path / "out"), parameters)

    class Silent:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *args: None

    summary = build(request, 0, None, Silent())
    (record,) = summary.records.values()
    # Five frames of a slow hand: every pair overlaps, neighbours by more than those four frames apart.
    overlap = dict(
        zip(
            zip(record.pairs["frame_a"], record.pairs["frame_b"], strict=True),
            record.pairs["overlap"],
            strict=True,
        )
    )
    assert len(overlap) == 10
    assert overlap[0, 1] > 0.8 > 0.3 < overlap[0, 4] < overlap[0, 1]
