from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

SMALL = ["--stride", "4", "--image-size", "48x64", "--shard-mb", "1", "--workers", "0"]


def run(
    *arguments: str | Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


def no_trace(done: subprocess.CompletedProcess[str]) -> bool:
    return "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["build", "--help"], ["build", "scannet", "--help"], ["verify", "--help"]]
)
def test_help_explains_with_examples(arguments: Sequence[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 0
    assert "pri3d-data" in done.stdout or "build" in done.stdout


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv=['pri3d-data','--help']\n"
        "try:\n import pipelines.cli; pipelines.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numba','numpy','pyarrow','dask','distributed','cv2','rich','torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_build_can_be_looked_at_and_verified(made_up: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("build", "scannet", "--input", made_up, "--output", out, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "3 scenes (3 built now), 18 frames" in " ".join(done.stderr.split())
    again = run("build", "scannet", "--input", made_up, "--output", out, *SMALL)
    assert "Nothing to do" in again.stderr

    stats = json.loads(run("stats", out, "--json").stdout)
    assert (stats["scenes"], stats["frames"]) == (3, 18)
    assert sum(stats["overlap_histogram"]["pairs"]) == stats["pairs"]
    assert {"frames", "overlap", "geometry", "bundle"} <= set(stats["seconds_by_stage"])
    assert "pairs by overlap" in run("stats", out).stdout

    assert run("verify", out).returncode == 0
    shard = out / "shards" / "shard-000000.tar"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(bytes(data))
    broken = run("verify", out, "--json")
    assert broken.returncode == 1
    assert json.loads(broken.stdout)[0]["file"] == "shards/shard-000000.tar"


def test_inspect_draws_scenes_frames_and_pairs(undisturbed: Path, tmp_path: Path) -> None:
    import cv2

    for key in ([], ["scene0001_00"], ["scene0001_00/000004"], ["scene0001_00/000000-000004"]):
        done = run("inspect", undisturbed, *key, "--png", tmp_path / "a.png")
        assert done.returncode == 0, done.stderr
        picture = cv2.imread(str(tmp_path / "a.png"))
        assert picture.shape[0] > 100
        assert picture.std() > 10
    about = json.loads(run("inspect", undisturbed, "scene0001_00/000004", "--json").stdout)
    assert about["frames"][0]["camera"]["frame"] == 4
    missing = run("inspect", undisturbed, "scene0001_00/000005")
    assert missing.returncode == 2
    assert no_trace(missing)
    assert "names no frame" in missing.stderr


def test_options_come_from_environment_and_file_in_that_order(made_up: Path, tmp_path: Path) -> None:
    config = tmp_path / "build.yaml"
    config.write_text(f"input: {made_up}\nstride: 6\nimage-size: 48x64\nscenes: scene0000_00\nworkers: 0\n")
    out = tmp_path / "out"
    done = run(
        "build",
        "scannet",
        "--config",
        config,
        PRI3D_DATA_OUTPUT=str(out),
        PRI3D_DATA_STRIDE="8",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    about = json.loads((out / "dataset.json").read_text())
    assert about["parameters"]["stride"] == 8
    assert about["totals"]["scenes"] == 1
    config.write_text("strid: 6\n")
    wrong = run("build", "scannet", "--config", config, "--input", made_up, "--output", out)
    assert wrong.returncode == 2
    assert "strid" in wrong.stderr
    assert no_trace(wrong)


def test_wrong_input_is_explained_without_a_trace(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    frames = tmp_path / "scannet_frames_25k" / "scene0000_00" / "color"
    frames.mkdir(parents=True)
    (frames / "000000.jpg").write_bytes(b"")
    out = tmp_path / "out"
    for raw, words in (
        (empty, ["Expected scans/", "an empty folder"]),
        (tmp_path / "nowhere", ["not a folder"]),
        (tmp_path / "scannet_frames_25k", ["exported frames", ".sens"]),
    ):
        done = run("build", "scannet", "--input", raw, "--output", out, "-w", "0")
        assert done.returncode == 2
        assert no_trace(done)
        assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--stride", "0"], "--stride 0 takes no frames"),
        (["--image-size", "big"], "HEIGHTxWIDTH"),
        (["--image-size", "1x1"], "between 16 and 8192"),
        (["--scenes", "scene9*"], "chooses none of the 3 scenes"),
        (["--scheduler", "tcp://127.0.0.1:1", "-w", "2"], "Give one of them"),
        (["--shard-mb", "0"], "--shard-mb 0"),
        (["--preset", "best"], "paper"),
    ],
)
def test_wrong_options_are_explained_without_a_trace(
    made_up: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    done = run("build", "scannet", "--input", made_up, "--output", tmp_path / "out", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert no_trace(done)


def test_an_output_that_cannot_be_written_is_said(made_up: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("build", "scannet", "--input", made_up, "--output", tmp_path / "file" / "out", "-w", "0")
    assert done.returncode == 3
    assert no_trace(done)
    assert "cannot be written" in done.stderr


def test_a_scene_list_may_name_scenes_that_are_not_there(made_up: Path, tmp_path: Path) -> None:
    names = tmp_path / "train.txt"
    names.write_text("scene0002_00\nscene0500_00\n")
    done = run(
        "build", "scannet", "--input", made_up, "--output", tmp_path / "out", "--scenes", names, *SMALL
    )
    assert done.returncode == 0
    assert "1 of the scenes asked for are not in the input" in " ".join(done.stderr.split())


def test_synth_kitti_writes_drives_that_build(tmp_path: Path) -> None:
    done = run("synth", "kitti", "--output", tmp_path / "raw", "--scenes", "1", "--frames", "2")
    assert done.returncode == 0, done.stderr
    done = run("build", "kitti", "--input", tmp_path / "raw", "--output", tmp_path / "out", "-w", "0")
    assert done.returncode == 0, done.stderr
    assert "2 frames, 1 pairs" in " ".join(done.stderr.split())


def test_synth_writes_captures_that_build(tmp_path: Path) -> None:
    done = run("synth", "scannet", "--output", tmp_path / "raw", "--scenes", "1", "--frames", "2")
    assert done.returncode == 0, done.stderr
    done = run(
        "build",
        "scannet",
        "--input",
        tmp_path / "raw",
        "--output",
        tmp_path / "out",
        "--stride",
        "1",
        "-w",
        "0",
    )
    assert done.returncode == 0, done.stderr
