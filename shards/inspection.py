"""One scene, frame or pair of a data set, described and drawn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pri3d_data.errors import UsageError
from shards import schema
from shards.dataset import Dataset
from shards.frame_cache import FrameCache
from shards.frames import split_sample
from shards.mosaic import frame_mosaic, pair_mosaic, stack
from shards.pair import PairRecipe, match_pair
from shards.pair_index import PairIndex

_MOST_FRAMES = 48
_MOST_PAIRS = 6


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawing: its pixels, (H, W, 3) uint8 RGB, the key it shows and a sentence."""

    pixels: NDArray[np.uint8]
    key: str
    caption: str


@dataclass(frozen=True)
class Selection:
    """What a key names: a scene's rows of the tables, narrowed to a frame or a pair if it names one."""

    key: str
    scene: dict[str, Any]
    frames: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    failures: list[dict[str, Any]]


def select(dataset: Dataset, key: str | None) -> Selection:
    """The rows that a key names; without one, those of the first scene.

    Args:
        dataset: where to look.
        key: ``scene``, ``scene/frame`` or ``scene/frame-frame``.

    Raises:
        UsageError: there is no such scene, frame or pair.
    """
    scenes = {row["scene"]: row for row in dataset.table("scenes").to_pylist()}
    if not scenes:
        raise UsageError(f"'{dataset.root}' holds no scenes; its failures table says why.")
    key = key or next(iter(scenes))
    scene, _, rest = key.partition("/")
    if scene not in scenes:
        raise UsageError(
            f"There is no scene '{scene}' in '{dataset.root}'. It has {', '.join(list(scenes)[:5])}, …"
        )
    rows = {}
    for name in ("frames", "pairs", "failures"):
        table = dataset.table(name)
        rows[name] = table.filter(pc.equal(table["scene"], scene)).to_pylist()
    if rest:
        numbers = [int(part) if part.isdigit() else -1 for part in rest.split("-")]
        rows["frames"] = [row for row in rows["frames"] if row["frame"] in numbers]
        rows["pairs"] = [row for row in rows["pairs"] if set(numbers) <= {row["frame_a"], row["frame_b"]}]
        rows["failures"] = [row for row in rows["failures"] if row["frame"] in numbers]
        if (
            len(rows["frames"]) != len(numbers)
            or len(numbers) > 2
            or (len(numbers) == 2 and not rows["pairs"])
        ):
            raise UsageError(
                f"'{key}' names no frame or pair of '{dataset.root}'. Write scene/000025 for a frame, "
                "scene/000025-000050 for a pair; `--json` lists what a scene has."
            )
    return Selection(key, scenes[scene], rows["frames"], rows["pairs"], rows["failures"])


def describe(dataset: Dataset, key: str | None) -> dict[str, Any]:
    """What tables and samples say of a key, JSON-ready; a single frame or pair comes with its cameras."""
    found = select(dataset, key)
    frames = found.frames
    if "/" in found.key:
        frames = [row | {"camera": _camera(dataset, row)} for row in frames]
    return {"scene": found.scene, "frames": frames, "pairs": found.pairs, "failures": found.failures}


def draw(dataset: Dataset, key: str | None) -> Picture:
    """A mosaic of a scene's frames and some of its pairs, or of one frame or pair.

    Raises:
        UsageError: there is no such key.
        DataError: a sample cannot be read.
    """
    found = select(dataset, key)
    scene = found.scene["scene"]
    index = PairIndex([dataset.root], lambda name: name == scene)
    cache = FrameCache(index, 512 << 20)
    of_scene = np.flatnonzero(index.frames.scene == index.scene_names.index(scene))
    row_of = {int(index.frames.number[row]): int(row) for row in of_scene}
    frames = [cache.get(row_of[row["frame"]]) for row in _spread(found.frames, _MOST_FRAMES)]
    chosen = _spread(found.pairs, _MOST_PAIRS)
    rule = index.scene_rule[index.scene_names.index(scene)]
    row_of_pair = {
        (int(a), int(b)): int(row)
        for a, b, row in zip(index.pairs.a, index.pairs.b, index.pairs.row, strict=True)
    }
    recipe = PairRecipe(matches=400)
    pairs = []
    for pair in chosen:
        a, b = row_of[pair["frame_a"]], row_of[pair["frame_b"]]
        row = row_of_pair[a, b]
        pairs.append(match_pair(scene, cache.get(a), cache.get(b), recipe, "inspect", rule=rule, row=row))
    parts = [frame_mosaic(frames)]
    if pairs:
        parts.append(pair_mosaic(pairs, [pair["overlap"] for pair in chosen]))
    counts = f"{len(frames)} of {len(found.frames)} frames, {len(pairs)} of {len(found.pairs)} pairs"
    return Picture(stack(parts), found.key, f"{scene}: {counts}")


def _spread(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most ``most`` of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return [rows[i * len(rows) // most] for i in range(most)]


def _camera(dataset: Dataset, row: dict[str, Any]) -> Any:
    data = b"".join(dataset.store.read_range(row["shard"], row["offset"], row["bytes"]))
    return json.loads(split_sample(data, row["shard"], row["offset"])[schema.CAMERA])
