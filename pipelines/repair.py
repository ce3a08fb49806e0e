"""A damaged data set made whole again: the build it came from, with what is damaged left to do."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pipelines.parameters import BuildParameters, SceneParameters
from pipelines.plan import BuildRequest
from pipelines.registry import DATASETS
from pri3d_data.errors import DataError, UsageError
from shards.damage import Damage
from shards.dataset import Dataset


def repair_request(dataset: Dataset, damage: Damage, source: str | None = None) -> BuildRequest:
    """The build that mends a data set.

    Scenes and parameters are those it was built from. Scenes that failed then are tried again.

    Args:
        dataset: what is damaged.
        damage: as `shards.damage.find_damage` found it.
        source: where the raw captures are now; where they were then if None.

    Raises:
        UsageError: the raw data of a damaged scene are not there, or this program does not know the data set.
    """
    about = dataset.about
    kind = DATASETS.get(about["dataset"])
    if kind is None:
        raise UsageError(
            f"'{dataset.root}' holds a data set of '{about['dataset']}', which this program lacks."
        )
    place = source or about["source"]
    there = {scene.scene for scene in kind.find_scenes(place)}
    held = dataset.table("scenes", ["scene"])["scene"].to_pylist()
    failed = dataset.table("failures", ["scene"])["scene"].to_pylist()
    if lost := sorted(set(damage.scenes) - there):
        raise UsageError(
            f"{len(lost)} damaged scenes ({lost[0]}, …) are not in '{place}': say with --input where their "
            "raw captures are."
        )
    if gone := sorted(set(held) - there):
        raise UsageError(
            f"'{place}' lacks {len(gone)} scenes of the data set ({gone[0]}, …): say with --input where all "
            "of them are."
        )
    return BuildRequest(
        kind,
        place,
        dataset.root,
        _parameters(dataset, type(next(iter(kind.presets.values())))),
        tuple(sorted({*held, *failed} & there)),
        damage=damage,
    )


def _parameters(dataset: Dataset, kind: type[SceneParameters]) -> BuildParameters:
    said: dict[str, Any] = dict(dataset.about["parameters"])
    try:
        shard_mb = said.pop("shard_mb")
        # JSON has no tuples.
        values: dict[str, Any] = {field.name: said.pop(field.name) for field in fields(kind)}
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        if said:
            raise ValueError(f"it has {', '.join(said)} as well")
        return BuildParameters(kind(**values), shard_mb)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"was built with parameters this program does not know ({error}).",
            file=dataset.root,
            remedy="Build it again with its own command.",
        ) from error
