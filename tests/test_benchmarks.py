"""Every benchmark runs, says what it promises, and counts right. How fast it finds us is not asserted."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEADER = ("benchmark", "python", "cpu", "cores", "load", "versions", "command", "setting", "rows", "notes")
RUNS = {
    "overlap": (["--pairs", "6", "--frames", "4"], ["ratio_scipy", "ours_seconds"]),
    "shard_writing": (
        ["--scenes", "3"],
        [
            "ratio_webdataset",
            "ratio_webdataset_as_built",
            "ratio_webdataset_without_fsync",
            "ratio_webdataset_members_only",
        ],
    ),
    "covisibility": (
        ["--images", "60", "--seen", "80", "--set-images", "20"],
        ["ratio_scipy", "ratio_python_sets", "ours_seconds"],
    ),
    "sens_reading": (["--megabytes", "3"], ["ratio_whole_file", "ms_per_skipped_frame"]),
    "pair_streaming": (
        ["--matches", "64"],
        [
            "ratio_webdataset",
            "ratio_webdataset_stock",
            "ratio_webdataset_matches",
            "ratio_webdataset_bytes_read",
            "ratio_webdataset_bytes_stored",
        ],
    ),
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    synth = pytest.importorskip("pri3d_data.synth.scannet", reason="made-up captures are not there yet")
    folder = tmp_path_factory.mktemp("raw")
    synth.write_scannet(folder, scenes=1, seed=0, spec=synth.ScanNetSynth(frames=8))
    return folder


@pytest.fixture(scope="module", params=RUNS)
def report(
    request: pytest.FixtureRequest, raw: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    name: str = request.param
    pytest.importorskip("scipy" if name in ("overlap", "covisibility") else "webdataset")
    file = tmp_path_factory.mktemp(name) / "figures.json"
    # A process of its own: a benchmark pins itself to one core.
    done = run(
        name, "--data", str(raw), "--stride", "1", "--repeats", "2", "--json", str(file), *RUNS[name][0]
    )
    content: dict[str, Any] = json.loads(file.read_text())
    content["printed"] = done.stdout
    return content


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_the_file_says_what_was_measured_where_and_how(report: dict[str, Any]) -> None:
    assert set(HEADER) <= set(report)
    assert report["command"].startswith(f"python benchmarks/{report['benchmark']}.py --data")
    assert report["setting"]["repeats"] == 2


def test_figures_are_positive_and_finite(report: dict[str, Any]) -> None:
    promised = RUNS[report["benchmark"]][1]
    assert set(promised) <= set(report)
    ratios = {name: value for name, value in report.items() if name.startswith("ratio_")}
    for name, value in (ratios | {key: report[key] for key in promised}).items():
        assert math.isfinite(value), name
        assert value > 0, name


def test_every_row_is_printed(report: dict[str, Any]) -> None:
    words = " ".join(report["printed"].split())
    for row in report["rows"]:
        assert row["what"].split(",")[0] in words


def test_overlap_counts_equal_scipy(raw: Path, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    file = tmp_path / "overlap.json"
    run(
        "overlap", "--data", str(raw), "--stride", "2", "--repeats", "1", "--pairs", "99", "--json", str(file)
    )
    found = json.loads(file.read_text())
    assert found["setting"]["pairs_sampled"] == found["setting"]["ordered_pairs"] == 12
    assert found["peers"]["scipy"]["pairs_equal"] == 12
    assert found["peers"]["scipy"]["largest_difference"] == 0


def test_markdown_holds_one_line_a_row(raw: Path, tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    file = tmp_path / "writing.json"
    done = run(
        "shard_writing",
        *("--data", str(raw), "--stride", "4", "--scenes", "2", "--repeats", "1", "--markdown"),
        *("--json", str(file)),
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(json.loads(file.read_text())["rows"])


def test_a_benchmark_without_data_says_so(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "overlap.py"), "--data", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
