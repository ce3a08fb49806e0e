"""Every byte of a data set against what was written down about it."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pri3d_data.errors import DataError
from shards import schema, tar
from shards.dataset import Dataset
from shards.frames import decode_frame, decode_labels
from shards.npy import read_npy
from shards.schema import TABLES

_SAID_TWICE = ("length_unit", "match_rule", "match_tolerance")


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was written.

    Attributes:
        file: below the output folder.
        sample: WebDataset key, where one sample is meant.
        reason: what is wrong.
    """

    file: str
    sample: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}{f' [{self.sample}]' if self.sample else ''}: {self.reason}"

    def described(self) -> dict[str, str]:
        """JSON-ready."""
        return asdict(self)


def verify(dataset: Dataset, seen: Callable[[int], None] = lambda size: None) -> Iterator[Problem]:
    """Check tables, shards and every sample in them.

    Shards are compared with their sha256 and walked sample by sample; every image is decoded, every array
    parsed, and what the tables say of a sample is compared with where and what it is. Problems are yielded as
    they are found, so a broken shard does not hide the next.

    Args:
        dataset: what to check.
        seen: told the size of every shard once it is done.
    """
    tables: dict[str, pa.Table] = {}
    for name, wanted in TABLES.items():
        try:
            tables[name] = dataset.table(name)
            if not tables[name].schema.equals(wanted):
                yield Problem(schema.table_name(name), "", "its columns are not those of the format.")
                return
        except DataError as error:
            yield Problem(schema.table_name(name), "", error.reason)
    if len(tables) < len(TABLES):
        return
    yield from _totals(dataset, tables)
    rows = {name: _by_shard(tables[name]) for name in ("scenes", "frames")}
    pairs = _pairs_by_scene(tables["pairs"])
    listed = tables["shards"].to_pylist()
    there = set(dataset.store.list(schema.SHARD_FOLDER))
    for extra in sorted(there - {row["shard"].rpartition("/")[2] for row in listed}):
        yield Problem(f"{schema.SHARD_FOLDER}/{extra}", "", "no table knows this file.")
    for row in listed:
        name = row["shard"]
        yield from _shard(dataset, row, rows["scenes"].get(name, []), rows["frames"].get(name, []), pairs)
        seen(int(row["bytes"]))


def _shard(
    dataset: Dataset,
    row: dict[str, Any],
    scenes: list[dict[str, Any]],
    frames: list[dict[str, Any]],
    pairs: dict[str, NDArray[np.int64]],
) -> Iterator[Problem]:
    name = row["shard"]
    if not dataset.store.exists(name):
        yield Problem(name, "", "the file is missing.")
        return
    data = dataset.store.read(name)
    if len(data) != row["bytes"]:
        yield Problem(name, "", f"has {len(data)} bytes, the shards table says {row['bytes']}.")
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        yield Problem(name, "", "its sha256 is not the one in the shards table.")
    counted = (len(scenes), len(frames), sum(scene["pairs"] for scene in scenes))
    if counted != (row["scenes"], row["frames"], row["pairs"]):
        yield Problem(
            name, "", "scenes, frames or pairs in the shards table are not those of the other tables."
        )
    unread = {frame["key"] for frame in frames} | {schema.scene_key(scene["scene"]) for scene in scenes}
    by_key = {frame["key"]: frame for frame in frames}
    for scene in scenes:
        own_pairs = pairs.get(scene["scene"], np.zeros((0, 2), np.int64))
        part = memoryview(data)[scene["offset"] : scene["offset"] + scene["bytes"]]
        if hashlib.sha256(part).hexdigest() != scene["sha256"]:
            yield Problem(name, scene["scene"], "the sha256 of the scene is not the one in the scenes table.")
        try:
            for key, start, sample in _samples(part, name, scene["offset"]):
                if key == schema.scene_key(scene["scene"]):
                    check: Iterator[str] = _scene_sample(sample, scene, own_pairs)
                elif key in by_key:
                    first_of = int((own_pairs[:, 0] == by_key[key]["frame"]).sum())
                    check = _frame_sample(
                        part, start, scene["offset"], by_key[key], scene["match_rule"], first_of
                    )
                else:
                    check = iter(["the frames table does not know this sample."])
                unread.discard(key)
                for reason in check:
                    yield Problem(name, key, reason)
        except DataError as error:
            yield Problem(name, scene["scene"], str(error))
    for key in sorted(unread):
        yield Problem(name, key, "the tables list this sample, the shard does not hold it.")


def _samples(
    data: memoryview, file: str, offset: int
) -> Iterator[tuple[str, int, list[tuple[str, memoryview]]]]:
    """Members grouped by key: (key, where the first header starts, [(member, bytes)])."""
    key, start, parts = "", 0, list[tuple[str, memoryview]]()
    for member in tar.members(data, file, offset):
        folder, _, base = member.name.rpartition("/")
        stem, _, kind = base.partition(".")
        if f"{folder}/{stem}" != key:
            if parts:
                yield key, start, parts
            key, start, parts = f"{folder}/{stem}", member.start - tar.BLOCK, []
        parts.append((kind, data[member.start : member.start + member.size]))
    if parts:
        yield key, start, parts


def _frame_sample(
    data: memoryview, start: int, offset: int, row: dict[str, Any], rule: str, first_of: int
) -> Iterator[str]:
    if zlib.crc32(data[start : start + row["bytes"]]) != row["crc32"]:
        yield "its checksum is not the one in the frames table."
    if start + offset != row["offset"]:
        yield f"starts at byte {start + offset}, the frames table says {row['offset']}."
    try:
        sample = bytes(data[start : start + row["bytes"]])
        frame, labels = decode_frame(sample), decode_labels(sample)
    except DataError as error:
        yield error.reason
        return
    if frame.frame != row["frame"] or (frame.view.width, frame.view.height) != (row["width"], row["height"]):
        yield "its frame number or size is not the one in the frames table."
    if rule == "tracks" and frame.tracks is None:
        yield "its scene is matched by tracks, and it has none."
    if rule == "stored":
        measured = int(np.count_nonzero(frame.view.depth))
        shape = None if frame.match_bits is None else frame.match_bits.shape
        if shape != (first_of, -(-measured // 8)):
            yield (
                f"its match bits are of shape {shape}, but {first_of} pairs begin at it and {measured} "
                "of its pixels are measured."
            )
    if labels is not None and labels.shape != frame.image.shape[:2]:
        yield "its labels have another size than its colour image."


def _scene_sample(
    sample: list[tuple[str, memoryview]], row: dict[str, Any], listed: NDArray[np.int64]
) -> Iterator[str]:
    parts = {kind: bytes(data) for kind, data in sample}
    try:
        about = json.loads(parts[schema.SCENE])
        stored = read_npy(parts[schema.PAIRS], "<i4", 2)
        overlap = read_npy(parts[schema.OVERLAP], "<f4", None)
        voxels, colors = np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint8)
        if schema.VOXELS in parts:
            voxels = read_npy(parts[schema.VOXELS], "<i4", 3)
            colors = read_npy(parts[schema.VOXEL_COLORS], "|u1", 3)
    except KeyError as error:
        yield f"the sample lacks {error}."
        return
    except (ValueError, TypeError) as error:
        yield f"cannot be parsed ({error})."
        return
    if not np.array_equal(stored, listed) or len(overlap) != len(listed):
        yield "its pairs are not those of the pairs table."
    if about["scene"] != row["scene"] or len(about["frames"]) != row["frames"]:
        yield "its description names another scene or another number of frames."
    if [about[name] for name in _SAID_TWICE] != [row[name] for name in _SAID_TWICE]:
        yield "its unit of length or matching rule is not the one in the scenes table."
    if len(voxels) != row["voxels"] or voxels.shape != colors.shape:
        yield "its voxels are not as many as the scenes table says."
    steps = np.diff(voxels.astype(np.int64), axis=0)
    first = np.take_along_axis(steps, (steps != 0).argmax(axis=1)[:, None], axis=1) if len(steps) else steps
    if not (first > 0).all():
        yield "its voxels are not sorted, or one of them is there twice."
    if not np.isin(listed, about["frames"]).all():
        yield "a pair names a frame the scene does not have."


def _totals(dataset: Dataset, tables: dict[str, pa.Table]) -> Iterator[Problem]:
    told = dataset.about.get("totals", {})
    for name in ("scenes", "frames", "pairs", "shards", "failures"):
        if told.get(name) != tables[name].num_rows:
            yield Problem(
                schema.DATASET_FILE,
                "",
                f"says {told.get(name)} {name}, the table has {tables[name].num_rows}.",
            )


def _by_shard(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        rows.setdefault(row["shard"], []).append(row)
    return rows


def _pairs_by_scene(table: pa.Table) -> dict[str, NDArray[np.int64]]:
    names = table["scene"].to_pylist()
    ends = np.stack([table["frame_a"].to_numpy(), table["frame_b"].to_numpy()], axis=1)
    starts = [i for i in range(len(names)) if i == 0 or names[i] != names[i - 1]]
    return {
        names[start]: ends[start:end] for start, end in zip(starts, [*starts, len(names)][1:], strict=True)
    }
