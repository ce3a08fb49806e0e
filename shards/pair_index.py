"""Tables joined once, so that a pair's number leads straight to the bytes of its two frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pri3d_data.errors import DataError
from shards.dataset import Dataset


class PairIndex:
    """Tables of some data sets, joined: for every pair, which frames, and for every frame, which bytes.

    Args:
        datasets: folders or URLs that `pri3d-data build` wrote.
        scenes: keeps a scene where it returns True; None keeps all.

    Attributes:
        scene_names: scenes that have frames, by number.
        scene_voxels: (S,) int64 occupied voxels of a scene's geometry, 0 without one.
        scene_shard, scene_offset, scene_bytes: (S,) int64, where the scene's own sample lies: the first of
            its run of members, in front of its frames.
        shards: paths or URLs, by number.
        frame_scene, frame_number, frame_shard, frame_offset, frame_bytes: (F,) int64, by row.
        pair_scene: (P,) int32, ascending; pair_a, pair_b: (P,) int64 rows of frames.

    Raises:
        DataError: a table is broken, a pair names a frame that is not there, or a frame such a scene.
    """

    def __init__(self, datasets: Sequence[str], scenes: Callable[[str], bool] | None = None) -> None:
        self.scene_names: list[str] = []
        self.shards: list[str] = []
        scene_parts: list[tuple[NDArray[np.int64], ...]] = []
        frame_parts: list[tuple[NDArray[np.int64], ...]] = []
        pair_parts: list[tuple[NDArray[np.int64], ...]] = []
        frames_before = 0
        for root in datasets:
            dataset = Dataset(root)
            frames = dataset.table("frames", ["scene", "frame", "shard", "offset", "bytes"])
            pairs = dataset.table("pairs", ["scene", "frame_a", "frame_b"])
            names = sorted(set(pc.unique(frames["scene"]).to_pylist()))
            shards = pc.unique(frames["shard"]).to_pylist()
            scene_of_frame = _codes(frames["scene"], names, root)
            shard_of_frame = _codes(frames["shard"], shards, root) + len(self.shards)
            number, offset, size = (frames[c].to_numpy() for c in ("frame", "offset", "bytes"))
            scene_of_pair = _codes(pairs["scene"], names, root)
            a, b = pairs["frame_a"].to_numpy(), pairs["frame_b"].to_numpy()
            place = (scene_of_frame << 32) | number
            order = np.argsort(place)
            ends = [_find(place[order], (scene_of_pair << 32) | frame, root) for frame in (a, b)]
            row_a, row_b = (order[end] + frames_before for end in ends)
            if scenes is not None:
                keep = np.array([scenes(name) for name in names], dtype=bool)[scene_of_pair]
                scene_of_pair, row_a, row_b = scene_of_pair[keep], row_a[keep], row_b[keep]
            # The scene's own sample ends where the first of its frames begins.
            first_frame = np.full(len(names), np.iinfo(np.int64).max)
            np.minimum.at(first_frame, scene_of_frame, offset)
            start, voxels = _scene_columns(dataset, names)
            scene_shard = np.zeros(len(names), dtype=np.int64)
            scene_shard[scene_of_frame] = shard_of_frame
            scene_parts.append((scene_shard, start, first_frame - start, voxels))
            frame_parts.append((scene_of_frame + len(self.scene_names), number, shard_of_frame, offset, size))
            pair_parts.append((scene_of_pair + len(self.scene_names), row_a, row_b))
            frames_before += len(number)
            self.scene_names += names
            self.shards += [dataset.store.url(shard) for shard in shards]
        self.frame_scene, self.frame_number, self.frame_shard, self.frame_offset, self.frame_bytes = (
            np.concatenate(column) for column in zip(*frame_parts, strict=True)
        )
        self.scene_shard, self.scene_offset, self.scene_bytes, self.scene_voxels = (
            np.concatenate(column) for column in zip(*scene_parts, strict=True)
        )
        columns = [np.concatenate(column) for column in zip(*pair_parts, strict=True)]
        by_scene = np.argsort(columns[0], kind="stable")
        self.pair_scene = columns[0][by_scene].astype(np.int32)
        self.pair_a, self.pair_b = columns[1][by_scene], columns[2][by_scene]


def _codes(values: pa.ChunkedArray, names: list[str], root: str) -> NDArray[np.int64]:
    """Position of every value in ``names``."""
    positions = pc.index_in(values, pa.array(names, pa.string()))
    if positions.null_count:
        stray = values.filter(pc.is_null(positions))[0].as_py()
        raise DataError(
            f"the pairs table names the scene '{stray}', the frames table does not.",
            file=root,
            remedy="Run `pri3d-data verify`.",
        )
    codes: NDArray[np.int64] = positions.to_numpy().astype(np.int64)
    return codes


def _scene_columns(dataset: Dataset, names: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offset and voxels of the scenes of these names."""
    scenes = dataset.table("scenes", ["scene", "offset", "voxels"])
    row_of = {name: row for row, name in enumerate(scenes["scene"].to_pylist())}
    try:
        rows = [row_of[name] for name in names]
    except KeyError as error:
        raise DataError(
            f"the frames table names the scene {error}, the scenes table does not.",
            file=dataset.root,
            remedy="Run `pri3d-data verify`.",
        ) from error
    return scenes["offset"].to_numpy()[rows], scenes["voxels"].to_numpy()[rows]


def _find(ordered: NDArray[np.int64], wanted: NDArray[np.int64], root: str) -> NDArray[np.int64]:
    at = np.searchsorted(ordered, wanted)
    if len(wanted) and (len(ordered) == 0 or (ordered[np.minimum(at, len(ordered) - 1)] != wanted).any()):
        raise DataError(
            "a pair names a frame that the frames table lacks.", file=root, remedy="Run `pri3d-data verify`."
        )
    return at
