"""What a build has to do: scenes found, scenes already there, and what changed since."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.dataset import DataSet, Scene
from pipelines.parameters import BuildParameters, fingerprint
from pipelines.record import Place, SceneRecord, load_records, published_records
from pipelines.shard_writing import StagedShard, shard_digest, staged_shards
from pri3d_data.errors import UsageError
from shards.damage import NO_DAMAGE, Damage
from shards.dataset import Dataset
from shards.schema import DATASET_FILE, VERSION, WORK_FOLDER, shard_name
from shards.store import Store

# Stands in the place of a published shard that is damaged; equal to none.
_UNUSABLE = StagedShard("", (), 0, "")
PARAMETERS_FILE = f"{WORK_FOLDER}/parameters.json"


@dataclass(frozen=True)
class BuildRequest:
    """What the user asked for.

    Attributes:
        dataset: the kind of raw data.
        input, output: folders or URLs.
        parameters: what decides the bytes.
        scenes: comma-separated names or globs, a file with one name a line, or the names; None takes all.
        resume: reuse what an earlier or interrupted build left.
        drop_scenes: allow leaving out scenes that the output already holds.
        damage: what of the output is not to be used again.
    """

    dataset: DataSet
    input: str
    output: str
    parameters: BuildParameters
    scenes: str | tuple[str, ...] | None = None
    resume: bool = True
    drop_scenes: bool = False
    damage: Damage = NO_DAMAGE


@dataclass
class BuildPlan:
    """Work to do.

    Attributes:
        order: every selected scene's name, in the order of the shards.
        todo: scenes to build.
        fingerprints: of every selected scene.
        kept, places: scenes whose bytes are there already, and where.
        staged: written shards by digest; `published` are those under final names, in order.
        changed: lines that tell the user what is different from last time.
    """

    order: list[str]
    todo: list[Scene]
    fingerprints: dict[str, str]
    kept: dict[str, SceneRecord] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    staged: dict[str, StagedShard] = field(default_factory=dict)
    published: list[StagedShard] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    published_parameters: Mapping[str, Any] | None = None


def plan_build(request: BuildRequest, store: Store) -> BuildPlan:
    """Compare the input with what the output holds.

    Raises:
        UsageError: no scenes, an output of another data set, or scenes that would be dropped unasked.
    """
    scenes, missing = select_scenes(request.dataset.find_scenes(request.input), request.scenes)
    parameters = request.parameters
    stages = [(stage.name, stage.version) for stage in request.dataset.stages]
    decides = (VERSION, request.dataset.name, parameters.scene.described(), stages)
    fingerprints = {scene.scene: fingerprint(*decides, scene.stamps) for scene in scenes}
    plan = BuildPlan(list(fingerprints), list(scenes), fingerprints)
    if missing:
        plan.changed.append(f"{missing} of the scenes asked for are not in the input and are passed over")
    if not request.resume:
        store.remove_folder(WORK_FOLDER)
        return plan

    records: dict[str, SceneRecord] = {}
    if store.exists(DATASET_FILE):
        dataset = Dataset(request.output)
        _check_same(request, dataset, plan.order)
        records, plan.places = published_records(dataset)
        plan.published = [
            _UNUSABLE if shard_name(number) in request.damage.shards else shard
            for number, shard in enumerate(_published_shards(dataset, records))
        ]
        for scene in request.damage.scenes:
            records.pop(scene, None)
        plan.published_parameters = dataset.about["parameters"]
        plan.changed += _differences(dataset.about["parameters"], parameters.described())
    elif store.exists(PARAMETERS_FILE):
        plan.changed += _differences(json.loads(store.read(PARAMETERS_FILE)), parameters.described())

    plan.staged = staged_shards(store)
    started = load_records(store)
    for record in started.values():
        if store.exists(record.scratch_file):
            records[record.scene] = record
            plan.places[record.scene] = Place(record.scratch_file, 0)
    for shard in plan.staged.values():
        for scene, mark, offset in shard.scenes:
            if scene in started and started[scene].fingerprint == mark:
                records[scene] = started[scene]
                plan.places[scene] = Place(shard.file, offset)

    kept = {
        name for name, mark in fingerprints.items() if name in records and records[name].fingerprint == mark
    }
    stale = sum(name in records and name not in kept for name in fingerprints)
    if stale and not plan.changed:
        plan.changed.append(f"raw files or code of {stale} scenes changed: they are built again")
    plan.kept = {name: records[name] for name in plan.order if name in kept}
    plan.places = {name: plan.places[name] for name in plan.kept}
    plan.todo = [scene for scene in scenes if scene.scene not in kept]
    return plan


def select_scenes(scenes: Sequence[Scene], wanted: str | tuple[str, ...] | None) -> tuple[list[Scene], int]:
    """Scenes that a list, glob or file of names chooses, and how many names matched nothing.

    Raises:
        UsageError: nothing matched.
    """
    if wanted is None:
        return list(scenes), 0
    if isinstance(wanted, tuple):
        patterns = list(wanted)
    elif Path(wanted).is_file():
        patterns = [line.strip() for line in Path(wanted).read_text().splitlines() if line.strip()]
    else:
        patterns = [part.strip() for part in wanted.split(",") if part.strip()]
    names = {scene.scene for scene in scenes}
    plain = {pattern for pattern in patterns if not any(sign in pattern for sign in "*?[")}
    globs = [pattern for pattern in patterns if pattern not in plain]
    chosen = [
        scene
        for scene in scenes
        if scene.scene in plain or any(fnmatch.fnmatchcase(scene.scene, pattern) for pattern in globs)
    ]
    if not chosen:
        found = ", ".join(sorted(names)[:5])
        raise UsageError(
            f"--scenes '{wanted}' chooses none of the {len(names)} scenes of the input ({found}, …). "
            "Give names or globs separated by commas, or a file with one name a line."
        )
    return chosen, len(plain - names)


def _check_same(request: BuildRequest, dataset: Dataset, order: Sequence[str]) -> None:
    kind = dataset.about["dataset"]
    if kind != request.dataset.name:
        raise UsageError(
            f"'{request.output}' holds a data set of '{kind}', not of '{request.dataset.name}'. "
            "Choose another --output."
        )
    held = set(dataset.table("scenes", ["scene"])["scene"].to_pylist())
    dropped = sorted(held - set(order))
    if dropped and not request.drop_scenes:
        raise UsageError(
            f"'{request.output}' holds {len(dropped)} scenes that this command leaves out ({dropped[0]}, …); "
            "finishing it would delete them. Choose another --output, or say --drop-scenes."
        )


def _published_shards(dataset: Dataset, records: Mapping[str, SceneRecord]) -> list[StagedShard]:
    held: dict[str, list[tuple[str, str, int]]] = {}
    for row in dataset.table("scenes", ["scene", "shard", "offset", "fingerprint"]).to_pylist():
        held.setdefault(row["shard"], []).append((row["scene"], row["fingerprint"], row["offset"]))
    shards = []
    for row in dataset.table("shards").to_pylist():
        scenes = tuple(sorted(held[row["shard"]], key=lambda entry: entry[2]))
        digest = shard_digest([records[scene] for scene, _, _ in scenes])
        shards.append(StagedShard(digest, scenes, row["bytes"], row["sha256"]))
    return shards


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    lines = []
    for name in now:
        if before.get(name) == now[name]:
            continue
        effect = "shards are packed anew" if name == "shard_mb" else "every scene is built again"
        lines.append(f"{name.replace('_', '-')} was {before.get(name)}, is {now[name]}: {effect}")
    return lines
