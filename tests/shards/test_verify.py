from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from shards.verify import Problem, verify


def problems(written: Any) -> list[Problem]:
    return list(verify(written.dataset))


def test_a_fresh_data_set_has_no_problems(written: Any) -> None:
    sizes: list[int] = []
    assert list(verify(written.dataset, sizes.append)) == []
    assert len(sizes) == 2


@pytest.mark.parametrize("where", [0.01, 0.2, 0.5, 0.77, 0.97])
def test_a_flipped_byte_is_found_and_its_shard_named(written: Any, where: float) -> None:
    shard: Path = written.root / "shards" / "shard-000001.tar"
    data = bytearray(shard.read_bytes())
    data[int(len(data) * where)] ^= 1
    shard.write_bytes(bytes(data))
    found = problems(written)
    assert found
    assert {problem.file for problem in found} == {"shards/shard-000001.tar"}


def test_a_broken_image_is_named_by_its_key(written: Any) -> None:
    row = written.dataset.table("frames").to_pylist()[3]
    shard: Path = written.root / row["shard"]
    data = bytearray(shard.read_bytes())
    data[row["offset"] + 512 : row["offset"] + 532] = bytes(20)
    shard.write_bytes(bytes(data))
    assert row["key"] in {problem.sample for problem in problems(written)}


def test_a_cut_shard_is_found(written: Any) -> None:
    shard: Path = written.root / "shards" / "shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-5000])
    assert any("bytes" in problem.reason for problem in problems(written))


def test_missing_and_extra_files_are_found(written: Any) -> None:
    (written.root / "shards" / "shard-000000.tar").rename(written.root / "shards" / "stray.tar")
    reasons = {(problem.file, problem.reason) for problem in problems(written)}
    assert ("shards/stray.tar", "no table knows this file.") in reasons
    assert ("shards/shard-000000.tar", "the file is missing.") in reasons


@pytest.mark.parametrize("table", ["scenes", "frames", "pairs", "shards"])
def test_a_table_that_lost_a_row_does_not_agree_any_more(written: Any, table: str) -> None:
    path = written.root / "tables" / f"{table}.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.slice(1), path)
    assert problems(written)


def test_a_table_that_cannot_be_read_is_one_problem_and_no_trace(written: Any) -> None:
    (written.root / "tables" / "pairs.parquet").write_bytes(b"PAR1 nothing of the sort")
    assert [problem.file for problem in problems(written)] == ["tables/pairs.parquet"]


def test_wrong_totals_are_found(written: Any) -> None:
    path = written.root / "dataset.json"
    about = json.loads(path.read_text())
    about["totals"]["pairs"] += 1
    path.write_text(json.dumps(about))
    assert [problem.file for problem in problems(written)] == ["dataset.json"]


def test_voxels_out_of_order_are_found(unsorted: Any) -> None:
    assert {problem.reason for problem in problems(unsorted)} == {
        "its voxels are not sorted, or one of them is there twice."
    }
