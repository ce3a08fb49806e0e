"""The last step of a build: shards, tables and description move into place, or a journal says what is left.

A reader finds either the whole old data set, the whole new one, or none with the advice to finish the build.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.record import SceneRecord
from pipelines.shard_writing import StagedShard
from pri3d_data.capture import Failure
from shards.schema import DATASET_FILE, TABLES, TIMINGS_FILE, WORK_FOLDER, shard_name, table_name
from shards.store import Store
from shards.tables import make_table, table_bytes

JOURNAL = f"{WORK_FOLDER}/publish.json"


def publish(
    store: Store,
    records: Mapping[str, SceneRecord],
    shards: Sequence[StagedShard],
    unchanged: Sequence[bool],
    failures: Sequence[Failure],
    about: dict[str, Any],
) -> None:
    """Write tables and description, then move everything into place.

    Args:
        store: the output folder.
        records: every scene that a shard holds.
        shards: the shards, in order.
        unchanged: whether each already stands under its final name.
        failures: all rows of that table, in order.
        about: the description; becomes dataset.json.
    """
    rows = _rows(records, shards, failures)
    moves = []
    for name, columns in rows.items():
        staged = f"{WORK_FOLDER}/{table_name(name)}"
        store.write(staged, [table_bytes(make_table(name, columns))])
        moves.append((staged, table_name(name)))
    for number, (shard, stands) in enumerate(zip(shards, unchanged, strict=True)):
        if not stands:
            moves.append((shard.file, shard_name(number)))
    store.write(f"{WORK_FOLDER}/{DATASET_FILE}", [json.dumps(about, indent=2).encode() + b"\n"])
    timings = {scene: record.seconds for scene, record in sorted(records.items())}
    store.write(f"{WORK_FOLDER}/{TIMINGS_FILE}", [json.dumps(timings).encode()])
    moves.append((f"{WORK_FOLDER}/{TIMINGS_FILE}", TIMINGS_FILE))
    wanted = {shard_name(number).rpartition("/")[2] for number in range(len(shards))}
    folder = shard_name(0).rpartition("/")[0]
    stale = [f"{folder}/{name}" for name in store.list(folder) if name not in wanted]
    store.write(JOURNAL, [json.dumps({"moves": moves, "remove": stale}).encode()])
    finish_publishing(store)


def finish_publishing(store: Store) -> bool:
    """Carry out a journal that is there; True where there was one. Safe to repeat after any interruption."""
    if not store.exists(JOURNAL):
        return False
    journal = json.loads(store.read(JOURNAL))
    if store.exists(f"{WORK_FOLDER}/{DATASET_FILE}"):
        store.remove(DATASET_FILE)
        for source, target in journal["moves"]:
            if store.exists(source):
                store.rename(source, target)
        for path in journal["remove"]:
            store.remove(path)
        store.rename(f"{WORK_FOLDER}/{DATASET_FILE}", DATASET_FILE)
    store.remove_folder(WORK_FOLDER)
    return True


def _rows(
    records: Mapping[str, SceneRecord], shards: Sequence[StagedShard], failures: Sequence[Failure]
) -> dict[str, dict[str, list[Any]]]:
    rows: dict[str, dict[str, list[Any]]] = {
        name: {field.name: [] for field in schema} for name, schema in TABLES.items()
    }
    for number, shard in enumerate(shards):
        file = shard_name(number)
        held = [records[scene] for scene, _, _ in shard.scenes]
        for record, (_, _, start) in zip(held, shard.scenes, strict=True):
            frames, pairs = len(record.frames["frame"]), len(record.pairs["frame_a"])
            offsets = [start + offset for offset in record.frames["offset"]]
            _extend(
                rows["frames"],
                record.frames
                | {"scene": [record.scene] * frames, "shard": [file] * frames, "offset": offsets},
            )
            _extend(rows["pairs"], record.pairs | {"scene": [record.scene] * pairs})
            row = record.row | {
                "scene": record.scene,
                "shard": file,
                "offset": start,
                "bytes": record.bytes,
                "sha256": record.sha256,
                "frames": frames,
                "pairs": pairs,
                "fingerprint": record.fingerprint,
            }
            _extend(rows["scenes"], {name: [value] for name, value in row.items()})
        frames = sum(len(record.frames["frame"]) for record in held)
        pairs = sum(len(record.pairs["frame_a"]) for record in held)
        _append(rows["shards"], (file, shard.bytes, shard.sha256, len(held), frames, pairs))
    for failure in failures:
        _append(
            rows["failures"],
            (failure.scene, failure.frame, failure.stage, failure.file, failure.offset, failure.reason),
        )
    return rows


def _extend(columns: dict[str, list[Any]], values: Mapping[str, list[Any]]) -> None:
    for name, column in columns.items():
        column += values[name]


def _append(columns: dict[str, list[Any]], row: tuple[Any, ...]) -> None:
    for column, value in zip(columns.values(), row, strict=True):
        column.append(value)
