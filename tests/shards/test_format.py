"""Shards and tables read by other people's programs."""

from __future__ import annotations

import json
import tarfile
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import webdataset

from shards.schema import TABLES


def test_webdataset_reads_a_shard_without_us(kept: Any) -> None:
    url = str(kept.root / "shards" / "shard-000000.tar")
    samples = {s["__key__"]: s for s in webdataset.WebDataset(url, shardshuffle=False).decode("rgb8")}
    assert len(samples) == 2 + 12
    scene = samples["scene0001_00/scene"]
    frames = scene["scene.json"]["frames"]
    assert scene["pairs.npy"].shape == (15, 2)
    assert scene["voxels.npy"].dtype == np.int32
    for frame in frames:
        sample = samples[f"scene0001_00/{frame:06d}"]
        true = kept.images["scene0001_00", frame].astype(int)
        assert np.abs(sample["color.jpg"].astype(int) - true).mean() < 8
        assert sample["camera.json"]["depth"]["unit"] == 0.001


def test_tar_lists_a_scene_first_and_its_frames_in_order(kept: Any) -> None:
    with tarfile.open(kept.root / "shards" / "shard-000000.tar") as archive:
        keys = list(dict.fromkeys(name.partition(".")[0] for name in archive.getnames()))
    assert keys[0] == "scene0000_00/scene"
    assert keys[1:7] == [f"scene0000_00/{25 * i:06d}" for i in range(6)]


def test_a_frame_can_be_cut_out_of_its_shard_by_offset_and_bytes(kept: Any) -> None:
    import io

    for row in pq.read_table(kept.root / "tables" / "frames.parquet").to_pylist():
        data = (kept.root / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["bytes"]]
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            assert {name.partition(".")[0] for name in archive.getnames()} == {row["key"]}
            camera = archive.extractfile(f"{row['key']}.camera.json")
            assert camera is not None
            assert json.load(camera)["frame"] == row["frame"]


def test_tables_have_the_columns_types_and_units_of_the_schema(kept: Any) -> None:
    for name, schema in TABLES.items():
        table = pq.read_table(kept.root / "tables" / f"{name}.parquet")
        assert table.schema.equals(schema)
        for field in table.schema:
            assert field.metadata[b"meaning"]
            assert field.nullable is False


def test_the_schemas_are_frozen() -> None:
    # Changing a column breaks data sets people have built: add columns at the end, and raise schema.VERSION
    # where an old reader would be misled.
    assert {name: schema.names for name, schema in TABLES.items()} == {
        "scenes": [
            "scene",
            "shard",
            "offset",
            "bytes",
            "sha256",
            "frames",
            "pairs",
            "voxels",
            "crc32",
            "length_unit",
            "match_rule",
            "match_tolerance",
            "fingerprint",
        ],
        "frames": [
            "scene",
            "frame",
            "name",
            "shard",
            "key",
            "offset",
            "bytes",
            "crc32",
            "width",
            "height",
            "points",
            "timestamp",
        ],
        "pairs": [
            "scene",
            "frame_a",
            "frame_b",
            "points_a",
            "points_b",
            "matched_a",
            "matched_b",
            "overlap",
            "angle",
            "scale_ratio",
        ],
        "shards": ["shard", "bytes", "sha256", "scenes", "frames", "pairs"],
        "failures": ["scene", "frame", "stage", "file", "offset", "reason"],
    }
