"""The code's own rules: formatting, lint, types and the direction of imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("pri3d_data", "shards", "pipelines", "pri3d_train")


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
    ],
    ids=["lint", "format", "types"],
)
def test_a_checker_is_content(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_is_of_one_idea_and_named_for_it() -> None:
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        assert path.stem not in {"utils", "util", "helpers", "common", "misc"}, path
        assert len(path.read_text().splitlines()) <= 400, path


def test_no_path_of_a_machine_or_address_of_a_registry_is_in_the_repository() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    for name in files:
        if name.endswith((".py", ".md", ".cfg", ".toml", ".txt", "run")):
            text = (ROOT / name).read_text()
            for sign in ("/" + "work/", "/" + "root/", "index" + "-url"):
                assert sign not in text, (name, sign)
