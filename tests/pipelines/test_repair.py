from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.build import build
from pipelines.repair import repair_request
from pri3d_data.errors import UsageError
from shards.damage import find_damage
from shards.dataset import Dataset
from shards.verify import verify


@pytest.fixture
def built(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of a finished data set to break things in."""
    copy = tmp_path / "out"
    shutil.copytree(undisturbed, copy)
    return copy


def files_of(out: Path) -> dict[str, bytes]:
    parts = [*(out / "shards").iterdir(), *(out / "tables").iterdir()]
    return {str(path.relative_to(out)): path.read_bytes() for path in parts}


def place_of(out: Path, scene: str) -> dict[str, Any]:
    rows = pq.read_table(out / "tables/scenes.parquet").to_pylist()
    return next(row for row in rows if row["scene"] == scene)


def flip_a_bit(out: Path, scene: str, share: float) -> None:
    row = place_of(out, scene)
    data = bytearray((out / row["shard"]).read_bytes())
    data[row["offset"] + int(share * row["bytes"])] ^= 16
    (out / row["shard"]).write_bytes(bytes(data))


def mend(out: Path, seen: Any) -> Any:
    dataset = Dataset(str(out))
    return build(repair_request(dataset, find_damage(dataset)), 0, None, seen)


def test_a_whole_data_set_has_no_damage(built: Path) -> None:
    assert not find_damage(Dataset(str(built)))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_only_the_scene_with_a_flipped_bit_is_built_again(
    built: Path, undisturbed: Path, interrupting: Any, share: float
) -> None:
    flip_a_bit(built, "scene0001_00", share)
    assert find_damage(Dataset(str(built))).scenes == ("scene0001_00",)
    seen = interrupting(None)
    summary = mend(built, seen)
    assert seen.scenes == ["scene0001_00"]
    assert summary.failures == []
    assert files_of(built) == files_of(undisturbed)
    assert list(verify(Dataset(str(built)))) == []


def test_a_missing_shard_costs_its_scenes_and_a_stray_file_goes(
    built: Path, undisturbed: Path, interrupting: Any
) -> None:
    gone = place_of(built, "scene0002_00")["shard"]
    (built / gone).unlink()
    (built / "shards" / "shard-000099.tar").write_bytes(b"what is this")
    damage = find_damage(Dataset(str(built)))
    assert damage.shards == (gone,)
    assert damage.stray == ("shards/shard-000099.tar",)
    seen = interrupting(None)
    mend(built, seen)
    assert sorted(seen.scenes) == list(damage.scenes)
    assert files_of(built) == files_of(undisturbed)


def test_damage_between_scenes_costs_no_scene(built: Path, undisturbed: Path, interrupting: Any) -> None:
    shard = built / "shards/shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-700])
    assert find_damage(Dataset(str(built))).scenes == ()
    seen = interrupting(None)
    mend(built, seen)
    assert seen.scenes == []
    assert files_of(built) == files_of(undisturbed)


def test_an_interrupted_repair_is_finished_by_the_next(
    built: Path, undisturbed: Path, interrupting: Any
) -> None:
    for scene in ("scene0000_00", "scene0002_00"):
        flip_a_bit(built, scene, 0.5)
    with pytest.raises(KeyboardInterrupt):
        mend(built, interrupting(1))
    seen = interrupting(None)
    mend(built, seen)
    assert len(seen.scenes) == 1
    assert files_of(built) == files_of(undisturbed)


def test_without_the_raw_data_nothing_is_touched(built: Path, tmp_path: Path) -> None:
    flip_a_bit(built, "scene0001_00", 0.5)
    before = files_of(built)
    elsewhere = tmp_path / "elsewhere" / "scans" / "scene0000_00"
    elsewhere.mkdir(parents=True)
    (elsewhere / "scene0000_00.sens").write_bytes(b"")
    dataset = Dataset(str(built))
    with pytest.raises(UsageError, match=r"scene0001_00.*--input"):
        repair_request(dataset, find_damage(dataset), str(tmp_path / "elsewhere"))
    assert files_of(built) == before


def test_the_command_says_what_it_does(built: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipelines.cli", "repair", str(built), "--workers", "0", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert "Nothing is damaged" in run().stdout
    flip_a_bit(built, "scene0001_00", 0.5)
    looked = run("--dry-run", "--json")
    assert looked.returncode == 1
    assert json.loads(looked.stdout)["scenes"] == ["scene0001_00"]
    assert run().returncode == 0
    assert "Nothing is damaged" in run().stdout
