"""The benchmark of the sparse network runs on a small chunk and says what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "sparse_unet.py"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_every_installed_backend_has_a_row_a_size(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = run("--voxels", "300", "--voxels", "200", "--repeats", "1", "--markdown", "--json", str(file))
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert [row["voxels"] for row in found["rows"] if row["backend"] == "torch"] == [200, 300]
    backends = {row["backend"] for row in found["rows"]}
    assert len(found["rows"]) == 2 * len(backends)
    # A backend has rows or a note that says what to install.
    assert len(backends) + len(found["notes"]) == 3
    for row in found["rows"]:
        assert row["step_seconds"] > row["forward_seconds"] / 2 > 0
        assert row["peak_gb"] > 0.1
        assert 3 < row["pairs_per_voxel"] < 27
        if row["backend"] != "torch":
            assert found[f"ratio_{row['backend']}"] > 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(found["rows"])


def test_a_device_that_is_not_there_is_wrong_use() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = run("--device", "cuda")
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr
