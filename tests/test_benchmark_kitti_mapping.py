"""The benchmark of the driving data runs on a short drive and says what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_gap_has_a_row_and_the_figures_are_shares(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    arguments = ["--frames", "4", "--azimuths", "1000", "--repeats", "1", "--json", str(file), "--markdown"]
    command = [sys.executable, str(ROOT / "benchmarks" / "kitti_mapping.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert [row["gap"] for row in found["rows"] if row["drive"] == "made-up"] == [1, 2]
    for row in found["rows"]:
        assert 0.0 <= row["standing"] < row["true"] < 1.0
        if row["drive"] == "made-up":
            assert row["precision"] > 0.9
            assert row["recall"] > 0.1
    assert found["hidden_share_after"] < found["hidden_share_before"]
    assert found["ratio_numpy"] > 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(found["rows"])
