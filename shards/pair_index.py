"""Some data sets as one: a pair's number leads straight to the bytes of its two frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from shards.dataset import Dataset
from shards.dataset_index import DatasetIndex, FrameColumns, PairColumns, SceneColumns, index_dataset


class PairIndex:
    """Scenes, shards, frames and pairs of some data sets, numbered through.

    Args:
        datasets: folders or URLs that `pri3d-data build` wrote.
        scenes: keeps the pairs of a scene where it returns True; None keeps all.

    Attributes:
        scene_names, scene_rule, scene_metric: of scenes that have frames: name, how their pixels match, and
            whether their lengths are metres.
        shards: paths or URLs.
        scenes, frames: see `shards.dataset_index`.
        pairs: sorted by scene.
        dataset_pairs: (D + 1,) int64, where each data set's pairs begin; the last is their number.

    Raises:
        UsageError, DataError: see `Dataset` and `index_dataset`.
    """

    def __init__(self, datasets: Sequence[str], scenes: Callable[[str], bool] | None = None) -> None:
        parts = [index_dataset(Dataset(root), scenes) for root in datasets]
        self.scene_names = [name for part in parts for name in part.names]
        self.scene_rule = [rule for part in parts for rule in part.rules]
        self.scene_metric = [metric for part in parts for metric in part.metric]
        self.shards = [shard for part in parts for shard in part.shards]
        self.dataset_pairs = np.cumsum([0] + [len(part.pairs.scene) for part in parts])
        numbered = list(_numbered_through(parts))
        self.scenes = SceneColumns(
            *map(np.concatenate, zip(*(scenes for scenes, _, _ in numbered), strict=True))
        )
        self.frames = FrameColumns(
            *map(np.concatenate, zip(*(frames for _, frames, _ in numbered), strict=True))
        )
        pairs = PairColumns(*map(np.concatenate, zip(*(pairs for _, _, pairs in numbered), strict=True)))
        by_scene = np.argsort(pairs.scene, kind="stable")
        self.pairs = PairColumns(*(column[by_scene] for column in pairs))


def _numbered_through(
    parts: Sequence[DatasetIndex],
) -> Iterator[tuple[SceneColumns, FrameColumns, PairColumns]]:
    scenes = frames = shards = 0
    for part in parts:
        yield (
            part.scenes._replace(shard=part.scenes.shard + shards),
            part.frames._replace(scene=part.frames.scene + scenes, shard=part.frames.shard + shards),
            part.pairs._replace(
                scene=part.pairs.scene + scenes, a=part.pairs.a + frames, b=part.pairs.b + frames
            ),
        )
        scenes += len(part.names)
        frames += len(part.frames.scene)
        shards += len(part.shards)
