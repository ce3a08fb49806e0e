"""The main job as its user does it, from raw captures to a network that learnt; minutes, so in the slow lane."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.spatial import cKDTree

from pri3d_data.backproject import backproject
from pri3d_data.scannet import ScanNetCapture, find_scenes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BUILD = [sys.executable, "-m", "pipelines.cli", "build", "scannet"]
RANKS = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
    "pri3d_train",
]


def run(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, arguments)], env=environment, capture_output=True, text=True, **settings)
    assert done.returncode == 0, done.stderr
    return done


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("train")
    synth = [sys.executable, "-m", "pipelines.cli", "synth", "scannet"]
    run(*synth, "--output", root / "raw", "--scenes", 3, "--frames", 60)
    size = ["--stride", 3, "--image-size", "96x128"]
    run(*BUILD, "--input", root / "raw", "--output", root / "out", *size, "--workers", 2)
    return root / "out"


def pretrain(shards: Path, output: Path, steps: int) -> list[float]:
    run(
        *RANKS, "pretrain", "--data", shards, "--output", output, "--view", "--backbone", "resnet18", "--batch-size",
        4, "--steps", steps, "--log-every", 1, "--hold-out", "scene0002_00", "--seed", 3, "--workers", 1,
    )  # fmt: skip
    return losses(output)


def margin(shards: Path, checkpoint: Path) -> dict[str, float]:
    probe = [sys.executable, "-m", "pri3d_train", "probe", "--data", shards, "--scenes", "scene0002_00"]
    return json.loads(run(*probe, "--checkpoint", checkpoint, "--pairs", 24, "--json").stdout)  # type: ignore[no-any-return]


def test_two_ranks_learn_repeat_themselves_and_resume_to_the_bit(shards: Path, tmp_path: Path) -> None:
    whole = pretrain(shards, tmp_path / "whole", 60)
    assert len(whole) == 60
    assert np.mean(whole[-5:]) < np.mean(whole[:5]) - 0.5

    first_half = pretrain(shards, tmp_path / "resumed", 30)
    assert first_half == whole[:30]
    resumed = pretrain(shards, tmp_path / "resumed", 60)
    assert resumed == whole

    untrained = margin(shards, tmp_path / "one" if pretrain(shards, tmp_path / "one", 1) else tmp_path)
    trained = margin(shards, tmp_path / "whole")
    assert trained["margin"] > 0.15
    assert trained["margin"] > untrained["margin"] + 0.1
    # Retrieval is not asserted: random filters already tell textured pixels of near views apart, and 60 steps
    # of 4 pairs first of all spread features out.


def test_builds_killed_at_random_moments_end_with_the_same_bytes(
    tmp_path: Path, shards: Path, digests: Any
) -> None:
    raw = shards.parent / "raw"
    size = ["--stride", 3, "--image-size", "96x128", "--shard-mb", 1]
    run(*BUILD, "--input", raw, "--output", tmp_path / "undisturbed", *size, "--workers", 2)
    moments = random.Random(4)
    command = [*BUILD, "--input", raw, "--output", tmp_path / "killed", *size, "--workers", 2]
    for _ in range(6):
        build = subprocess.Popen([*map(str, command)], start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(1.0, 10.0))
        # The whole process group dies at once: workers, scheduler, command.
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()
        published = tmp_path / "killed" / "shards"
        if published.is_dir() and (tmp_path / "killed" / "dataset.json").exists():
            assert digests(tmp_path / "killed") == digests(tmp_path / "undisturbed")
    run(*command)
    assert digests(tmp_path / "killed") == digests(tmp_path / "undisturbed")
    assert not (tmp_path / "killed" / ".build").exists()


@pytest.fixture
def digests() -> Any:
    import hashlib

    def of(out: Path) -> dict[str, str]:
        files = [*(out / "shards").iterdir(), *(out / "tables").iterdir()]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}

    return of


@pytest.mark.real_data
def test_the_real_room_is_counted_as_a_kd_tree_counts_it(shared_data: Path, tmp_path: Path) -> None:
    raw, out = shared_data / "scannet_layout_7scenes", tmp_path / "out"
    run(*BUILD, "--input", raw, "--output", out, "--stride", 5, "--workers", 2)
    run(sys.executable, "-m", "pipelines.cli", "verify", out)
    with ScanNetCapture(find_scenes(str(raw))[0], 5) as capture:
        zero = np.zeros(3)
        clouds = {
            frame.index: backproject(
                capture.depth(frame),
                capture.depth_unit_m,
                frame.depth_camera.vector,  # type: ignore[union-attr]
                frame.depth_to_world,  # type: ignore[arg-type]
                zero,
            ).astype(np.float64)
            for frame in capture.frames
        }
    trees = {frame: cKDTree(cloud) for frame, cloud in clouds.items()}
    pairs = {
        (row["frame_a"], row["frame_b"]): row
        for row in pq.read_table(out / "tables/pairs.parquet").to_pylist()
    }
    assert len(clouds) == 40
    assert len(pairs) == 410
    worst = 0.0
    for a in clouds:
        for b in (b for b in clouds if b > a):
            matched = [
                int(np.isfinite(trees[y].query(clouds[x], distance_upper_bound=0.02, workers=2)[0]).sum())
                for x, y in ((a, b), (b, a))
            ]
            overlap = sum(matched) / (len(clouds[a]) + len(clouds[b]))
            row = pairs.get((a, b))
            assert (row is not None) == (overlap >= 0.3) or abs(overlap - 0.3) < 1e-4
            if row is not None:
                for counted, true in zip((row["matched_a"], row["matched_b"]), matched, strict=True):
                    worst = max(worst, abs(counted - true) / true)
    print(f"largest relative difference: {worst:.2e}")
    assert worst <= 1e-4


def test_the_joint_loss_with_depth_falls_on_real_shards(shards: Path, tmp_path: Path) -> None:
    # One pair a step: its two chunks are some 60,000 voxels through 38 million weights.
    command = [
        sys.executable,
        "-m",
        "pri3d_train",
        "pretrain",
        "--data",
        shards,
        "--output",
        tmp_path,
        "--seed",
        1,
    ]
    what = [
        "--view",
        "--geo",
        "--depth-loss",
        1,
        "--augment",
        "--backbone",
        "resnet18",
        "--hold-out",
        "scene0002_00",
    ]
    run(*command, *what, "--steps", 8, "--batch-size", 1, "--log-every", 1, "--workers", 1)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 8
    for term in ("loss_view", "loss_geo", "loss_depth"):
        assert lines[-1][term] < lines[0][term], term
