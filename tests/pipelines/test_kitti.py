from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pretend_street import in_image, in_view, truth, write_street

from pipelines.build import BuildSummary, build
from pipelines.kitti_parameters import KITTI_PRESETS, KittiParameters
from pipelines.parameters import BuildParameters
from pipelines.plan import BuildRequest
from pipelines.registry import DATASETS
from pri3d_data.errors import UsageError
from pri3d_data.kitti import drive as kitti_drive
from pri3d_data.synth.kitti import drive_name
from shards.dataset import Dataset
from shards.frames import decode_frame
from shards.inspection import draw
from shards.store import Store
from shards.stream import PairStream
from shards.verify import verify

PAPER = KITTI_PRESETS["paper"]
ONE, TWO = drive_name(1), drive_name(2)


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small drives; read only."""
    return write_street(tmp_path_factory.mktemp("street"), 2)


@pytest.fixture
def raw(street: Path, tmp_path: Path) -> Path:
    """A copy to break things in."""
    shutil.copytree(street, tmp_path / "raw")
    return tmp_path / "raw"


def run(raw: Path, out: Path, watcher: Any, workers: int = 0, scene: KittiParameters = PAPER) -> BuildSummary:
    request = BuildRequest(DATASETS["kitti"], str(raw), str(out), BuildParameters(scene, 1))
    return build(request, workers, None, watcher)


@pytest.fixture(scope="session")
def undisturbed(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    class Deaf:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: None

    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(street, out, Deaf())
    return out


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    return pq.read_table(out / "tables" / f"{table}.parquet").to_pylist()


def failures(out: Path) -> list[tuple[str, int, str, str, str]]:
    return [
        (row["scene"], row["frame"], row["stage"], Path(row["file"]).name, row["reason"])
        for row in rows(out, "failures")
    ]


def in_raw(raw: Path, scene: str, path: str) -> Path:
    return raw / "2000_01_01" / scene / path


def test_the_result_verifies_and_can_be_drawn(undisturbed: Path) -> None:
    dataset = Dataset(str(undisturbed))
    assert list(verify(dataset)) == []
    assert [row["scene"] for row in rows(undisturbed, "scenes")] == [ONE, TWO]
    for row in rows(undisturbed, "scenes"):
        assert (row["frames"], row["match_rule"], row["length_unit"]) == (16, "stored", "m")
        assert row["pairs"] > 60
    for row in rows(undisturbed, "pairs"):
        assert 0.05 < row["overlap"] <= 1.0
        assert 0 <= row["matched_a"] <= row["points_a"]
    assert "pairs" in draw(dataset, f"{ONE}/0-4").caption


def test_streamed_matches_are_of_one_point_of_the_street(undisturbed: Path) -> None:
    """What the trainer sees: nearly every match is a point that both cameras see, at the pixel it is at."""
    known = truth()
    camera, pose = known.camera, known.camera_to_world
    good = whole = 0
    stream = PairStream([str(undisturbed)], matches=300, seed=2)
    for pair in chain.from_iterable(stream.epoch(0)):
        if pair.scene != ONE or pair.frame_a % 5:
            continue
        data = frame_of(undisturbed, pair.frame_a)
        x, y = pair.matches[:, 0].astype(int), pair.matches[:, 1].astype(int)
        z = data.view.depth[y, x] * data.view.depth_unit
        assert (z > 0).all()
        local = np.stack(
            [(x - camera.cx) / camera.fx * z, (y - camera.cy) / camera.fy * z, z, np.ones(len(z))]
        )
        world = (pose[pair.frame_a] @ local)[:3].T
        there = np.linalg.inv(pose[pair.frame_b]) @ np.vstack([world.T, np.ones(len(z))])
        u, v = camera.fx * there[0] / there[2] + camera.cx, camera.fy * there[1] / there[2] + camera.cy
        assert np.abs(np.stack([u, v]).T - pair.matches[:, 2:]).max() < 0.51
        assert in_image(known, world, pair.frame_b).all()
        # Rounded to its pixel, a point far down the road may lie a little under it.
        near = (z < 25.0) & (np.abs(there[2]) < 25.0)
        towards = world + (pose[pair.frame_b][:3, 3] - world) * 0.02
        good += in_view(known, towards, pair.frame_b)[near].sum()
        whole += near.sum()
    assert whole > 2000
    assert good / whole > 0.985


def frame_of(out: Path, number: int) -> Any:
    row = next(row for row in rows(out, "frames") if row["scene"] == ONE and row["frame"] == number)
    return decode_frame(b"".join(Store(str(out)).read_range(row["shard"], row["offset"], row["bytes"])))


def test_any_number_of_workers_gives_the_same_bytes(
    street: Path, undisturbed: Path, tmp_path: Path, interrupting: Any, digests_of: Any
) -> None:
    run(street, tmp_path / "out", interrupting(), workers=2)
    assert digests_of(tmp_path / "out") == digests_of(undisturbed)


def test_an_interrupted_build_goes_on_and_ends_the_same(
    street: Path, undisturbed: Path, tmp_path: Path, interrupting: Any, digests_of: Any
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(street, tmp_path / "out", interrupting(interrupt_after=1))
    watcher = interrupting()
    summary = run(street, tmp_path / "out", watcher)
    assert summary.exit_status == 0
    assert len(watcher.scenes) == 1
    assert digests_of(tmp_path / "out") == digests_of(undisturbed)


def test_one_drive_changed_is_one_drive_rebuilt(raw: Path, tmp_path: Path, interrupting: Any) -> None:
    run(raw, tmp_path / "out", interrupting())
    os.utime(in_raw(raw, TWO, "velodyne_points/data/0000000003.bin"), (1, 1))
    watcher = interrupting()
    run(raw, tmp_path / "out", watcher)
    assert watcher.scenes == [TWO]


def test_what_is_broken_is_named_and_costs_no_more_than_itself(
    raw: Path, undisturbed: Path, tmp_path: Path, interrupting: Any
) -> None:
    os.truncate(in_raw(raw, ONE, "velodyne_points/data/0000000003.bin"), 16 * 100 + 5)
    in_raw(raw, ONE, "oxts/data/0000000005.txt").write_text("49.0 8.4 115.0 0.0\n")
    in_raw(raw, ONE, "oxts/data/0000000006.txt").unlink()
    os.truncate(in_raw(raw, ONE, "image_02/data/0000000008.png"), 900)
    in_raw(raw, ONE, "velodyne_points/data/0000000010.bin").unlink()
    summary = run(raw, tmp_path / "out", interrupting())
    assert summary.exit_status == 1
    found = failures(tmp_path / "out")
    assert [row[:4] for row in found] == [
        (ONE, 3, "mapping", "0000000003.bin"),
        (ONE, 5, "frames", "0000000005.txt"),
        (ONE, 6, "frames", "0000000006.txt"),
        (ONE, 8, "frames", "0000000008.png"),
        (ONE, 10, "index", "0000000010.bin"),
    ]
    assert "cut within a point" in found[0][4]
    assert next(row["offset"] for row in rows(tmp_path / "out", "failures") if row["frame"] == 3) == 1600
    assert "30 numbers" in found[1][4]
    assert list(verify(Dataset(str(tmp_path / "out")))) == []
    lost = {3, 5, 6, 8, 10}
    expected = {
        (row["scene"], row["frame_a"], row["frame_b"]): row["overlap"]
        for row in rows(undisturbed, "pairs")
        if row["scene"] == TWO or not lost & {row["frame_a"], row["frame_b"]}
    }
    assert {
        (row["scene"], row["frame_a"], row["frame_b"]): row["overlap"]
        for row in rows(tmp_path / "out", "pairs")
    } == expected


def test_a_drive_of_one_missing_scan_is_done(raw: Path, tmp_path: Path, interrupting: Any) -> None:
    """As in 2011_09_26_drive_0009, where four were never published."""
    in_raw(raw, ONE, "velodyne_points/data/0000000010.bin").unlink()
    assert run(raw, tmp_path / "out", interrupting()).exit_status == 0


def test_calibration_without_a_key_costs_its_drives_and_says_which(
    raw: Path, tmp_path: Path, interrupting: Any
) -> None:
    path = raw / "2000_01_01" / "calib_velo_to_cam.txt"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("T:")))
    summary = run(raw, tmp_path / "out", interrupting())
    assert summary.exit_status == 1
    assert [row[:4] for row in failures(tmp_path / "out")] == [
        (ONE, -1, "mapping", "calib_velo_to_cam.txt"),
        (TWO, -1, "mapping", "calib_velo_to_cam.txt"),
    ]
    assert "'T'" in failures(tmp_path / "out")[0][4]


def test_a_long_drive_becomes_scenes_that_hold_every_pair_once(
    street: Path, undisturbed: Path, tmp_path: Path, interrupting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kitti_drive, "PART_FRAMES", 6)
    short = replace(PAPER, max_gap=4)
    run(street, tmp_path / "out", interrupting(), scene=short)
    assert list(verify(Dataset(str(tmp_path / "out")))) == []
    parts = {row["scene"]: row["frames"] for row in rows(tmp_path / "out", "scenes")}
    # Six frames of its own, and the four after them that they make pairs with.
    assert {name: parts[name] for name in sorted(parts)[:3]} == {
        f"{ONE}-000000": 10,
        f"{ONE}-000006": 10,
        f"{ONE}-000012": 4,
    }
    found = [
        (row["scene"].partition("-")[0], row["frame_a"], row["frame_b"], row["overlap"])
        for row in rows(tmp_path / "out", "pairs")
    ]
    expected = [
        (row["scene"], row["frame_a"], row["frame_b"], row["overlap"])
        for row in rows(undisturbed, "pairs")
        if row["frame_b"] - row["frame_a"] <= 4
    ]
    assert found == expected


def test_a_drive_without_any_pair_is_built_all_the_same(
    street: Path, tmp_path: Path, interrupting: Any
) -> None:
    summary = run(street, tmp_path / "out", interrupting(), scene=replace(PAPER, min_overlap=0.99))
    assert summary.exit_status == 0
    assert [row["pairs"] for row in rows(tmp_path / "out", "scenes")] == [0, 0]
    assert list(verify(Dataset(str(tmp_path / "out")))) == []


def test_resized_images_keep_their_depth_and_matches(
    street: Path, undisturbed: Path, tmp_path: Path, interrupting: Any
) -> None:
    run(street, tmp_path / "out", interrupting(), scene=replace(PAPER, image_size=(94, 310)))
    assert list(verify(Dataset(str(tmp_path / "out")))) == []
    half, whole = frame_of(tmp_path / "out", 4), frame_of(undisturbed, 4)
    assert half.image.shape == (94, 310, 3)
    np.testing.assert_array_equal(half.view.depth, whole.view.depth)
    np.testing.assert_array_equal(half.match_bits, whole.match_bits)


@pytest.mark.parametrize(
    "wrong", [{"stride": 0}, {"max_gap": 0}, {"min_overlap": 1.0}, {"min_overlap": -0.1}]
)
def test_parameters_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong)).replace('_', '-')}"):
        KittiParameters(**wrong)


@pytest.mark.real_data
def test_the_real_drive_is_built(shared_data: Path, tmp_path: Path, interrupting: Any) -> None:
    summary = run(shared_data / "kitti_raw", tmp_path / "out", interrupting())
    assert summary.exit_status == 0
    assert list(verify(Dataset(str(tmp_path / "out")))) == []
    (scene,) = rows(tmp_path / "out", "scenes")
    assert (scene["scene"], scene["frames"], scene["pairs"]) == ("2011_09_26_drive_0013_sync", 8, 28)
    assert min(row["overlap"] for row in rows(tmp_path / "out", "pairs")) > 0.25
