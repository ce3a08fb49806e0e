from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from distributed import LocalCluster
from scipy.spatial import cKDTree

from pipelines.build import build
from pipelines.parameters import BuildParameters
from pipelines.plan import BuildRequest
from pipelines.registry import DATASETS
from pipelines.rgbd_parameters import RGBD_PRESETS, RgbdParameters
from pri3d_data.backproject import backproject
from pri3d_data.errors import StorageError, UsageError
from pri3d_data.scannet import ScanNetCapture, find_scenes
from pri3d_data.sens import SensFile
from pri3d_data.voxels import voxel_means
from shards.dataset import Dataset
from shards.frames import decode_frame, decode_labels
from shards.store import Store
from shards.verify import verify

SMALL = BuildParameters(RgbdParameters(stride=4, image_size=(48, 64)), shard_mb=1)


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    return pq.read_table(out / "tables" / f"{table}.parquet").to_pylist()


def sens_of(raw: Path, scene: int) -> Path:
    return raw / "scans" / f"scene{scene:04d}_00" / f"scene{scene:04d}_00.sens"


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def clouds(raw: Path, scene: int, stride: int) -> dict[int, np.ndarray]:
    """The kernel's own points of every frame."""
    with ScanNetCapture(find_scenes(str(raw))[scene], stride) as capture:
        origin = np.round(capture.frames[0].camera_to_world[:3, 3])
        return {
            frame.index: backproject(
                capture.depth(frame),
                capture.depth_unit_m,
                frame.depth_camera.vector,  # type: ignore[union-attr]
                frame.depth_to_world,  # type: ignore[arg-type]
                origin,
            )
            for frame in capture.frames
        }


def within(a: np.ndarray, b: np.ndarray, radius_m: float) -> int:
    """Brute force in float64: points of a with a point of b within the radius."""
    count = 0
    other = b.astype(np.float64)
    for part in np.array_split(a.astype(np.float64), max(1, len(a) // 200)):
        difference = part[:, None, :] - other[None, :, :]
        square = difference[..., 0] ** 2 + difference[..., 1] ** 2 + difference[..., 2] ** 2
        count += int((square.min(axis=1) <= radius_m * radius_m).sum())
    return count


def test_the_result_verifies_and_counts_what_it_holds(undisturbed: Path) -> None:
    dataset = Dataset(str(undisturbed))
    assert list(verify(dataset)) == []
    totals = dataset.about["totals"]
    assert (totals["scenes"], totals["frames"]) == (3, 18)
    assert totals["pairs"] == len(rows(undisturbed, "pairs")) > 9
    assert not (undisturbed / ".build").exists()


def test_every_pair_is_counted_exactly_and_none_is_missed(made_up: Path, undisturbed: Path) -> None:
    listed = {
        (r["frame_a"], r["frame_b"]): r for r in rows(undisturbed, "pairs") if r["scene"] == "scene0001_00"
    }
    points = clouds(made_up, 1, 4)
    for a in points:
        for b in (b for b in points if b > a):
            matched = within(points[a], points[b], 0.02), within(points[b], points[a], 0.02)
            overlap = sum(matched) / (len(points[a]) + len(points[b]))
            row = listed.pop((a, b), None)
            if overlap < 0.3:
                assert row is None
                continue
            assert row is not None
            assert (row["matched_a"], row["matched_b"]) == matched
            assert (row["points_a"], row["points_b"]) == (len(points[a]), len(points[b]))
            assert row["overlap"] == pytest.approx(overlap, abs=1e-12)
    assert listed == {}


def test_preset_reference_scores_voxel_means_as_the_authors_do(
    made_up: Path, tmp_path: Path, run_build: Any
) -> None:
    parameters = BuildParameters(replace(RGBD_PRESETS["reference"], stride=4, image_size=(48, 64)))
    run_build(made_up, tmp_path / "out", parameters, scenes="scene0000_00")
    listed = {(r["frame_a"], r["frame_b"]): r["overlap"] for r in rows(tmp_path / "out", "pairs")}
    means = {frame: voxel_means(cloud, 0.05) for frame, cloud in clouds(made_up, 0, 4).items()}
    for a in means:
        for b in (b for b in means if b > a):
            shares = [
                (cKDTree(y.astype(np.float64)).query(x.astype(np.float64))[0] <= 0.075).mean()
                for x, y in ((means[a], means[b]), (means[b], means[a]))
            ]
            if max(shares) >= 0.3:
                assert listed.pop((a, b)) == pytest.approx(max(shares), abs=1e-12)
    assert listed == {}
    boxes = json.loads(_member(tmp_path / "out", "camera.json"))["chunk_box_m"]
    assert np.array_equal(boxes, np.round(boxes))


def _member(out: Path, kind: str) -> bytes:
    import tarfile

    with tarfile.open(out / "shards" / "shard-000000.tar") as archive:
        name = next(name for name in archive.getnames() if name.endswith(kind))
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


def test_native_size_keeps_the_captures_own_jpeg_bytes(made_up: Path, tmp_path: Path, run_build: Any) -> None:
    parameters = BuildParameters(replace(SMALL.scene, image_size=None))
    run_build(made_up, tmp_path / "out", parameters, scenes="scene0000_00")
    sens = SensFile(str(sens_of(made_up, 0)))
    record = sens.records()[0][0]
    assert _member(tmp_path / "out", "color.jpg") == sens.color(record).data
    frame = rows(tmp_path / "out", "frames")[0]
    data = (tmp_path / "out" / frame["shard"]).read_bytes()[frame["offset"] :][: frame["bytes"]]
    assert np.array_equal(decode_frame(data).view.depth, sens.depth(record))


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bytes(
    made_up: Path, undisturbed: Path, tmp_path: Path, run_build: Any, digests_of: Any, workers: int
) -> None:
    run_build(made_up, tmp_path / "out", workers=workers)
    assert digests_of(tmp_path / "out") == digests_of(undisturbed)


def test_a_running_dask_cluster_gives_the_same_bytes(
    made_up: Path, undisturbed: Path, tmp_path: Path, digests_of: Any, interrupting: Any
) -> None:
    request = BuildRequest(DATASETS["scannet"], str(made_up), str(tmp_path / "out"), SMALL)
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        build(request, 0, cluster.scheduler_address, interrupting())
    assert digests_of(tmp_path / "out") == digests_of(undisturbed)


def test_a_scheduler_that_does_not_answer_is_said(
    made_up: Path, tmp_path: Path, interrupting: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("pipelines.cluster._JOIN_SECONDS", 1)
    request = BuildRequest(DATASETS["scannet"], str(made_up), str(tmp_path / "out"), SMALL)
    with pytest.raises(UsageError, match="No Dask scheduler answers"):
        build(request, 0, "tcp://127.0.0.1:9", interrupting())


def test_a_second_run_does_nothing(made_up: Path, tmp_path: Path, run_build: Any, digests_of: Any) -> None:
    run_build(made_up, tmp_path / "out")
    before = digests_of(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    summary, seen = run_build(made_up, tmp_path / "out")
    assert (summary.changed, seen.scenes) == (False, [])
    assert digests_of(tmp_path / "out") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_build_goes_on_and_ends_the_same(
    made_up: Path,
    undisturbed: Path,
    tmp_path: Path,
    run_build: Any,
    digests_of: Any,
    interrupting: Any,
    after: int,
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_build(made_up, out, seen=interrupting(after))
    assert not (out / "dataset.json").exists()
    with pytest.raises(UsageError, match="unfinished build"):
        Dataset(str(out))
    _, seen = run_build(made_up, out)
    assert len(seen.scenes) == 3 - after
    assert digests_of(out) == digests_of(undisturbed)


def test_an_interruption_while_publishing_is_made_good(
    made_up: Path, undisturbed: Path, tmp_path: Path, run_build: Any, digests_of: Any, monkeypatch: Any
) -> None:
    out = tmp_path / "out"
    true, renames = Store.rename, []

    def dies(store: Store, source: str, target: str) -> None:
        renames.append(target)
        if len(renames) == 4:
            raise KeyboardInterrupt
        true(store, source, target)

    monkeypatch.setattr(Store, "rename", dies)
    with pytest.raises(KeyboardInterrupt):
        run_build(made_up, out)
    monkeypatch.setattr(Store, "rename", true)
    assert not (out / "dataset.json").exists()
    _, seen = run_build(made_up, out)
    assert seen.scenes == []
    assert digests_of(out) == digests_of(undisturbed)


def test_a_full_disk_keeps_what_is_finished(
    made_up: Path, undisturbed: Path, tmp_path: Path, run_build: Any, digests_of: Any, monkeypatch: Any
) -> None:
    out = tmp_path / "out"
    true = Store.write

    def full(store: Store, path: str, chunks: Any) -> None:
        if path.endswith("scene0002_00.tar"):
            raise StorageError("Writing failed: No space left on device.")
        true(store, path, chunks)

    monkeypatch.setattr(Store, "write", full)
    with pytest.raises(StorageError, match="No space left"):
        run_build(made_up, out)
    monkeypatch.setattr(Store, "write", true)
    _, seen = run_build(made_up, out)
    assert seen.scenes == ["scene0002_00"]
    assert digests_of(out) == digests_of(undisturbed)


def test_changed_parameters_are_named_and_rebuilt(made_up: Path, tmp_path: Path, run_build: Any) -> None:
    run_build(made_up, tmp_path / "out")
    summary, seen = run_build(made_up, tmp_path / "out", BuildParameters(replace(SMALL.scene, stride=6), 1))
    assert len(seen.scenes) == 3
    assert seen.plan.changed == ["stride was 4, is 6: every scene is built again"]
    assert summary.built == 3
    assert list(verify(Dataset(str(tmp_path / "out")))) == []


def test_another_shard_size_repacks_without_building(made_up: Path, tmp_path: Path, run_build: Any) -> None:
    out = tmp_path / "out"
    run_build(made_up, out)
    before = {row["scene"]: row["sha256"] for row in rows(out, "scenes")}
    _, seen = run_build(made_up, out, BuildParameters(SMALL.scene, 500))
    assert (seen.scenes, seen.shards) == ([], 1)
    assert seen.plan.changed == ["shard-mb was 1, is 500: shards are packed anew"]
    assert {row["scene"]: row["sha256"] for row in rows(out, "scenes")} == before
    assert len(list((out / "shards").iterdir())) == 1
    assert list(verify(Dataset(str(out)))) == []


def test_a_new_scene_is_added_without_building_the_others(
    made_up: Path, undisturbed: Path, tmp_path: Path, run_build: Any, digests_of: Any
) -> None:
    out = tmp_path / "out"
    run_build(made_up, out, scenes="scene0000_00,scene0002_00")
    _, seen = run_build(made_up, out)
    assert seen.scenes == ["scene0001_00"]
    assert digests_of(out) == digests_of(undisturbed)


def test_scenes_are_dropped_only_when_asked(made_up: Path, tmp_path: Path, run_build: Any) -> None:
    run_build(made_up, tmp_path / "out")
    with pytest.raises(UsageError, match="--drop-scenes"):
        run_build(made_up, tmp_path / "out", scenes="scene0000_00")
    run_build(made_up, tmp_path / "out", scenes="scene0000_00", drop_scenes=True)
    assert [row["scene"] for row in rows(tmp_path / "out", "scenes")] == ["scene0000_00"]


def test_a_broken_scene_costs_one_scene_and_is_tried_again(
    raw: Path, undisturbed: Path, tmp_path: Path, run_build: Any, digests_of: Any
) -> None:
    out = tmp_path / "out"
    sens = sens_of(raw, 1)
    before = sens.stat()
    overwrite(sens, 0, struct.pack("<I", 3))
    summary, _ = run_build(raw, out)
    assert summary.exit_status == 1
    assert [row["scene"] for row in rows(out, "scenes")] == ["scene0000_00", "scene0002_00"]
    (failure,) = rows(out, "failures")
    assert (failure["scene"], failure["frame"], failure["offset"]) == ("scene0001_00", -1, 0)
    assert failure["file"] == "scans/scene0001_00/scene0001_00.sens"
    assert "version 3" in failure["reason"]
    summary, seen = run_build(raw, out)
    assert (seen.scenes, summary.changed, summary.exit_status) == (["scene0001_00"], True, 1)
    overwrite(sens, 0, struct.pack("<I", 4))
    for scene in range(3):
        # Modification times are part of what a scene is known by; copytree keeps them, writing does not.
        stat = before if scene == 1 else sens_of(raw, scene).stat()
        os.utime(sens_of(raw, scene), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    summary, seen = run_build(raw, out)
    assert (seen.scenes, summary.exit_status) == (["scene0001_00"], 0)
    built, wanted = digests_of(out), digests_of(undisturbed)
    assert built == wanted


def spoil_color(raw: Path) -> tuple[str, int]:
    sens = SensFile(str(sens_of(raw, 0)))
    record = sens.records()[0][4]
    overwrite(sens_of(raw, 0), record.offset + record.color_bytes // 2, bytes(record.color_bytes // 2))
    return "frames", record.index


def spoil_depth(raw: Path) -> tuple[str, int]:
    sens = SensFile(str(sens_of(raw, 0)))
    record = sens.records()[0][8]
    overwrite(sens_of(raw, 0), record.offset + record.color_bytes + 10, b"\xff" * 40)
    return "frames", record.index


@pytest.mark.parametrize("spoil", [spoil_color, spoil_depth])
def test_a_broken_image_costs_one_frame(
    raw: Path, tmp_path: Path, run_build: Any, spoil: Callable[[Path], tuple[str, int]]
) -> None:
    stage, frame = spoil(raw)
    summary, _ = run_build(raw, tmp_path / "out")
    assert summary.exit_status == 1
    (failure,) = rows(tmp_path / "out", "failures")
    assert (failure["stage"], failure["frame"], failure["scene"]) == (stage, frame, "scene0000_00")
    assert failure["offset"] > 0
    built = {row["frame"] for row in rows(tmp_path / "out", "frames") if row["scene"] == "scene0000_00"}
    assert built == {0, 4, 8, 12, 16, 20} - {frame}
    assert list(verify(Dataset(str(tmp_path / "out")))) == []


def test_a_cut_file_keeps_the_frames_before_the_cut(raw: Path, tmp_path: Path, run_build: Any) -> None:
    sens = SensFile(str(sens_of(raw, 0)))
    record = sens.records()[0][14]
    os.truncate(sens_of(raw, 0), record.offset + 5)
    run_build(raw, tmp_path / "out")
    built = [row["frame"] for row in rows(tmp_path / "out", "frames") if row["scene"] == "scene0000_00"]
    assert built == [0, 4, 8, 12]
    (failure,) = rows(tmp_path / "out", "failures")
    assert "10 of the 24 frames" in failure["reason"]


def test_a_missing_mesh_costs_the_geometry_alone(raw: Path, tmp_path: Path, run_build: Any) -> None:
    (raw / "scans" / "scene0000_00" / "scene0000_00_vh_clean_2.ply").unlink()
    summary, _ = run_build(raw, tmp_path / "out")
    assert summary.exit_status == 1
    (failure,) = rows(tmp_path / "out", "failures")
    assert (failure["stage"], failure["reason"]) == ("geometry", "the file does not exist.")
    assert [row["voxels"] > 0 for row in rows(tmp_path / "out", "scenes")] == [False, True, True]


def test_a_scene_of_only_lost_frames_is_a_failure_of_the_scene(
    raw: Path, tmp_path: Path, run_build: Any
) -> None:
    for record in SensFile(str(sens_of(raw, 0))).records()[0]:
        overwrite(sens_of(raw, 0), record.offset - 96, struct.pack("<16f", *[-np.inf] * 16))
    summary, _ = run_build(raw, tmp_path / "out")
    assert summary.exit_status == 1
    failures = rows(tmp_path / "out", "failures")
    assert [f["frame"] for f in failures] == [-1, 0, 4, 8, 12, 16, 20]
    assert "none of the scene's frames" in failures[0]["reason"]


def test_some_lost_frames_are_recorded_but_no_cause_for_alarm(
    raw: Path, tmp_path: Path, run_build: Any
) -> None:
    record = SensFile(str(sens_of(raw, 0))).records()[0][4]
    overwrite(sens_of(raw, 0), record.offset - 96, struct.pack("<16f", *[-np.inf] * 16))
    summary, _ = run_build(raw, tmp_path / "out")
    assert summary.exit_status == 0
    (failure,) = rows(tmp_path / "out", "failures")
    assert (failure["stage"], failure["frame"]) == ("index", 4)


def test_two_builds_do_not_write_to_one_output(made_up: Path, tmp_path: Path, run_build: Any) -> None:
    import fcntl

    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="Another build"):
            run_build(made_up, tmp_path / "out")


def test_the_description_names_source_parameters_units_and_versions(made_up: Path, undisturbed: Path) -> None:
    about = json.loads((undisturbed / "dataset.json").read_text())
    assert about["source"] == str(made_up)
    assert about["parameters"]["overlap_radius_m"] == 0.02
    assert about["units"]["length"] == "length_unit of each scene"
    assert {"numpy", "numba", "pri3d", "python"} <= set(about["versions"])


def test_an_output_that_is_no_local_folder_is_built_repacked_and_verified_alike(
    made_up: Path, undisturbed: Path, run_build: Any
) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    run_build(made_up, "memory://bucket/out")
    dataset = Dataset("memory://bucket/out")
    assert list(verify(dataset)) == []
    assert (
        dataset.store.read("shards/shard-000000.tar")
        == (undisturbed / "shards/shard-000000.tar").read_bytes()
    )
    _, seen = run_build(made_up, "memory://bucket/out", BuildParameters(SMALL.scene, 500))
    assert (seen.scenes, seen.shards) == ([], 1)
    assert list(verify(Dataset("memory://bucket/out"))) == []
    assert not [name for name in store.store if ".build" in name]
    store.store.clear()


def test_labels_are_stored_with_their_frames_when_asked_for(
    made_up: Path, tmp_path: Path, run_build: Any
) -> None:
    parameters = BuildParameters(replace(SMALL.scene, labels=True))
    summary, _ = run_build(made_up, tmp_path / "out", parameters, scenes="scene0001_00")
    assert summary.failures == []
    with zipfile.ZipFile(made_up / "scans/scene0001_00/scene0001_00_2d-label-filt.zip") as archive:
        for row in rows(tmp_path / "out", "frames"):
            data = (tmp_path / "out" / row["shard"]).read_bytes()[row["offset"] :][: row["bytes"]]
            labels = decode_labels(data)
            true = cv2.imdecode(
                np.frombuffer(archive.read(f"label-filt/{row['frame']}.png"), np.uint8), cv2.IMREAD_UNCHANGED
            )
            # 122x162 to 48x64: the pixel that the middle of the small one lies in.
            at = np.ix_(
                ((np.arange(48) + 0.5) * 122 / 48).astype(int), ((np.arange(64) + 0.5) * 162 / 64).astype(int)
            )
            assert labels is not None
            assert np.array_equal(labels, true[at])
            assert len(np.unique(labels)) > 3
    assert list(verify(Dataset(str(tmp_path / "out")))) == []


def test_labels_that_are_missing_or_broken_cost_the_labels_alone(
    raw: Path, tmp_path: Path, run_build: Any
) -> None:
    parameters = BuildParameters(replace(SMALL.scene, labels=True))
    (raw / "scans/scene0000_00/scene0000_00_2d-label-filt.zip").unlink()
    broken = raw / "scans/scene0001_00/scene0001_00_2d-label-filt.zip"
    broken.write_bytes(broken.read_bytes()[:-500])
    summary, _ = run_build(raw, tmp_path / "out", parameters)
    assert {(f.scene, f.stage) for f in summary.failures} == {
        ("scene0000_00", "labels"),
        ("scene0001_00", "labels"),
    }
    assert all("label-filt.zip" in f.file for f in summary.failures)
    assert {scene: len(record.frames["frame"]) for scene, record in summary.records.items()} == {
        "scene0000_00": 6,
        "scene0001_00": 6,
        "scene0002_00": 6,
    }


def test_voxels_can_be_coarser(made_up: Path, undisturbed: Path, tmp_path: Path, run_build: Any) -> None:
    parameters = BuildParameters(replace(SMALL.scene, voxel_m=0.1))
    run_build(made_up, tmp_path / "out", parameters, scenes="scene0000_00")
    coarse, fine = (rows(out, "scenes")[0]["voxels"] for out in (tmp_path / "out", undisturbed))
    assert 0 < coarse < fine / 10
