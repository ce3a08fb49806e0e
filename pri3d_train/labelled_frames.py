"""Frames with semantic labels out of shards, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pri3d_data.errors import UsageError
from pri3d_train.scene_choice import SceneChoice
from shards.frame_cache import OpenShards
from shards.frames import decode_frame, decode_labels
from shards.pair_index import PairIndex


@dataclass(frozen=True, eq=False)
class StoredLabels:
    """A frame: image (H, W, 3) uint8 RGB; labels (H, W) uint16, the data set's numbers, 0 unlabelled."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint16]


class LabelledFrames:
    """Iterable over frames of some scenes that have labels.

    Args:
        datasets: folders or URLs that `pri3d-data build` wrote.
        choice: keeps a scene where it returns True; None keeps all.
        count: most frames; where there are more, they are taken at equal distances over all of them.

    Attributes:
        scenes: names of the scenes that frames are taken from.

    Raises:
        UsageError: there is no frame of these scenes.
    """

    def __init__(self, datasets: Sequence[str], choice: SceneChoice | None, count: int) -> None:
        self._index = PairIndex(datasets)
        kept = np.array([choice is None or choice(name) for name in self._index.scene_names], dtype=bool)
        rows = np.flatnonzero(kept[self._index.frames.scene])
        if len(rows) == 0:
            raise UsageError(
                "No frame of the scenes asked for is in the data: `pri3d-data stats` lists their names."
            )
        order = np.lexsort((self._index.frames.number[rows], self._index.frames.scene[rows]))
        spread = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)
        self._rows = rows[order][spread]
        self.scenes = {self._index.scene_names[scene] for scene in np.flatnonzero(kept)}

    def __iter__(self) -> Iterator[StoredLabels]:
        """Frames scene by scene; one that has no labels is passed over.

        Raises:
            UsageError: no frame has labels.
            DataError: a frame cannot be read or decoded.
        """
        index = self._index
        shards = OpenShards(index.shards)
        found = 0
        for row in self._rows:
            shard, offset = int(index.frames.shard[row]), int(index.frames.offset[row])
            data = shards.read(shard, offset, int(index.frames.bytes[row]), int(index.frames.crc32[row]))
            labels = decode_labels(data, index.shards[shard], offset)
            if labels is not None:
                found += 1
                yield StoredLabels(decode_frame(data, index.shards[shard], offset).image, labels)
        if not found:
            raise UsageError(
                "None of these frames has semantic labels: build the data with --labels, from captures that "
                "come with some."
            )
