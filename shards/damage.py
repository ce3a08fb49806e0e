"""Which scenes and shards of a data set are not as they were written, by their digests alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pri3d_data.errors import DataError
from shards.dataset import Dataset
from shards.schema import SHARD_FOLDER


@dataclass(frozen=True)
class Damage:
    """What has to be made again.

    Attributes:
        scenes: whose bytes are not those that were written, sorted.
        shards: files that are missing or damaged, below the output folder, sorted. Scenes in them that are
            sound are copied.
        stray: files among the shards that no table knows, below the output folder, sorted.
    """

    scenes: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    stray: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.shards or self.stray)


NO_DAMAGE = Damage()


def find_damage(dataset: Dataset, seen: Callable[[int], None] = lambda size: None) -> Damage:
    """Compare every scene's and every shard's bytes with the tables.

    Args:
        dataset: what to look at; its tables must be sound.
        seen: told the size of every shard once it is done.

    Raises:
        DataError: a table is missing or broken.
    """
    of_shard: dict[str, list[dict[str, Any]]] = {}
    for row in dataset.table("scenes", ["scene", "shard", "offset", "bytes", "sha256"]).to_pylist():
        of_shard.setdefault(row["shard"], []).append(row)
    scenes, shards = [], []
    listed = dataset.table("shards", ["shard", "bytes", "sha256"]).to_pylist()
    for row in listed:
        data = _bytes(dataset, row["shard"])
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            shards.append(row["shard"])
            scenes += [
                scene["scene"] for scene in of_shard.get(row["shard"], []) if not _is_sound(scene, data)
            ]
        seen(int(row["bytes"]))
    known = {row["shard"] for row in listed}
    there = [f"{SHARD_FOLDER}/{name}" for name in dataset.store.list(SHARD_FOLDER)]
    stray = [name for name in there if name not in known]
    return Damage(tuple(sorted(scenes)), tuple(sorted(shards)), tuple(sorted(stray)))


def _bytes(dataset: Dataset, shard: str) -> bytes:
    try:
        return dataset.store.read(shard)
    except DataError:
        return b""


def _is_sound(scene: dict[str, Any], data: bytes) -> bool:
    part = memoryview(data)[scene["offset"] : scene["offset"] + scene["bytes"]]
    return bool(hashlib.sha256(part).hexdigest() == scene["sha256"])
