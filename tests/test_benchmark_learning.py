"""The learning experiment: its table is counted right, and one small run of it goes all the way and resumes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "--rooms",
    "1",
    "--held-out",
    "1",
    "--frames",
    "6",
    "--steps",
    "2",
    "--seeds",
    "1",
    "--batch-size",
    "2",
]


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("learning")


def run_of(seed: int, miou: float) -> dict[str, Any]:
    figures = ("linear_class_accuracy", "linear_accuracy", "margin", "retrieval", "retrieval_2cm", "seconds")
    return {"seed": seed, "linear_miou": miou, **dict.fromkeys(figures, 0.5)}


def test_gains_are_counted_seed_by_seed(learning: Any) -> None:
    found = {
        "view": [run_of(0, 0.10), run_of(1, 0.20), run_of(2, 0.30)],
        "trivial": [run_of(2, 0.25), run_of(0, 0.08), run_of(1, 0.23)],
    }
    gain = learning.compare(found, "view", "trivial", "linear_miou")
    assert gain["mean"] == pytest.approx((0.02 - 0.03 + 0.05) / 3)
    assert gain["spread"] == pytest.approx(0.0404145, abs=1e-6)
    assert (gain["seeds_won"], gain["seeds"]) == (2, 3)


def test_the_table_has_mean_and_spread_of_every_variant(learning: Any) -> None:
    settings = learning.Settings(1, 1, 6, "72x96", 0.16, 2, 2, 0.1, 4, ())
    found = {"view": [run_of(0, 0.1), run_of(1, 0.2)], "untrained": [run_of(0, 0.1), run_of(1, 0.1)]}
    report = learning.report_on(found, settings, 2)
    assert [row["what"] for row in report.rows] == ["view", "untrained"]
    assert report.rows[0]["linear_miou"] == "0.150 ± 0.071"
    assert report.figures["view_over_untrained"]["linear_miou"]["mean"] == pytest.approx(0.05)
    assert any(note.startswith("view over untrained: +0.050") for note in report.notes)


@pytest.mark.slow
def test_a_small_experiment_goes_all_the_way_and_is_not_done_twice(tmp_path: Path) -> None:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            str(ROOT / "benchmarks" / "learning.py"),
            "--output",
            str(tmp_path / "out"),
        ]
        command += [*SMALL, "--pairs", "2", "--variants", "untrained,view+geo", *options]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)

    first = run("--json", str(tmp_path / "first.json"))
    assert first.returncode == 0, first.stderr
    found = json.loads((tmp_path / "first.json").read_text())
    weights = tmp_path / "out" / "runs" / "view+geo-0" / "checkpoints" / "step-000002.pt"
    before = weights.stat().st_mtime_ns
    assert run("--json", str(tmp_path / "second.json")).returncode == 0
    assert json.loads((tmp_path / "second.json").read_text())["runs"] == found["runs"]
    assert weights.stat().st_mtime_ns == before
    (joint,) = found["runs"]["view+geo"]
    assert {"loss_view", "loss_geo"} <= joint["last"].keys()
    assert 0 < joint["linear_accuracy"] < 1
    other = run("--lr", "0.2")
    assert (other.returncode, "other settings" in other.stderr) == (2, True)
