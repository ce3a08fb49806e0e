"""What is known of a built scene: enough to list it in the tables and to find its bytes again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from pri3d_data.capture import Failure
from pri3d_data.errors import DataError
from shards.dataset import Dataset
from shards.schema import BUNDLE_COLUMNS, TIMINGS_FILE, WORK_FOLDER
from shards.store import Store


@dataclass(frozen=True)
class Place:
    """Where a scene's bytes lie: a range of a file below the output folder."""

    file: str
    offset: int


@dataclass(frozen=True)
class SceneRecord:
    """One scene that was built.

    Attributes:
        scene: its name.
        fingerprint: of its raw files, parameters and stages.
        bytes, sha256: of its bundle.
        row: columns of its row of the scenes table that its bundle decides.
        frames, pairs: columns of its table rows, as `shards.bundle.Bundle` gives them.
        failures: frames of it that could not be built.
        seconds: what each stage took.
    """

    scene: str
    fingerprint: str
    bytes: int
    sha256: str
    row: dict[str, Any]
    frames: dict[str, list[Any]] = field(repr=False)
    pairs: dict[str, list[Any]] = field(repr=False)
    failures: tuple[Failure, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict, compare=False)

    @property
    def scratch_file(self) -> str:
        """Where the bundle waits until its shard is written."""
        return f"{WORK_FOLDER}/scenes/{self.scene}.tar"


def save_record(store: Store, record: SceneRecord) -> None:
    """Keep a record for an interrupted build to find."""
    store.write(f"{WORK_FOLDER}/records/{record.scene}.json", [json.dumps(asdict(record)).encode()])


def load_records(store: Store) -> dict[str, SceneRecord]:
    """Records that an interrupted build left, by scene; an unreadable one is left out, and built again."""
    records = {}
    for name in store.list(f"{WORK_FOLDER}/records"):
        if name.startswith("."):
            continue
        try:
            values = json.loads(store.read(f"{WORK_FOLDER}/records/{name}"))
            failures = tuple(Failure(**failure) for failure in values.pop("failures"))
            record = SceneRecord(**values, failures=failures)
        except (ValueError, KeyError, TypeError, DataError):
            continue
        records[record.scene] = record
    return records


def published_records(dataset: Dataset) -> tuple[dict[str, SceneRecord], dict[str, Place]]:
    """Records and places of the scenes of a finished build, by scene, from its tables."""
    rows = {name: _by_scene(dataset.table(name)) for name in ("frames", "pairs", "failures")}
    records, places = {}, {}
    store = dataset.store
    timings = json.loads(store.read(TIMINGS_FILE)) if store.exists(TIMINGS_FILE) else {}
    for row in dataset.table("scenes").to_pylist():
        scene = row["scene"]
        frames = rows["frames"][scene]
        frames = {name: column for name, column in frames.items() if name != "shard"}
        frames["offset"] = [offset - row["offset"] for offset in frames["offset"]]
        failures = rows["failures"].get(scene, {})
        listed = tuple(Failure(scene, *values) for values in zip(*failures.values(), strict=True))
        records[scene] = SceneRecord(
            scene,
            row["fingerprint"],
            row["bytes"],
            row["sha256"],
            {name: row[name] for name in BUNDLE_COLUMNS},
            frames,
            rows["pairs"].get(
                scene, {name: [] for name in dataset.table("pairs").column_names if name != "scene"}
            ),
            listed,
            timings.get(scene, {}),
        )
        places[scene] = Place(row["shard"], row["offset"])
    return records, places


def _by_scene(table: pa.Table) -> dict[str, dict[str, list[Any]]]:
    columns = table.to_pydict()
    scenes = columns.pop("scene")
    result: dict[str, dict[str, list[Any]]] = {}
    start = 0
    for end in range(1, len(scenes) + 1):
        # Tables are sorted by scene, so each scene is one run of rows.
        if end == len(scenes) or scenes[end] != scenes[start]:
            result[scenes[start]] = {name: column[start:end] for name, column in columns.items()}
            start = end
    return result
