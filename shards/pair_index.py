"""Tables joined once, so that a pair's number leads straight to the bytes of its two frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pri3d_data.errors import DataError
from shards.dataset import Dataset
from shards.match_rule import MatchRule

_FRAME_COLUMNS = ["scene", "frame", "shard", "offset", "bytes", "crc32", "height", "width"]


class PairIndex:
    """Tables of some data sets, joined: for every pair, which frames, and for every frame, which bytes.

    Args:
        datasets: folders or URLs that `pri3d-data build` wrote.
        scenes: keeps a scene where it returns True; None keeps all.

    Attributes:
        scene_names: scenes that have frames, by number.
        scene_voxels: (S,) int64 occupied voxels of a scene's geometry, 0 without one.
        scene_rule, scene_metric: how pixels of a scene's pairs match, and whether its lengths are metres.
        scene_shard, scene_offset, scene_bytes, scene_crc32: (S,) int64, where the scene's own sample lies,
            the first of its run of members, in front of its frames, and its checksum.
        shards: paths or URLs, by number.
        frame_scene, frame_number, frame_shard, frame_offset, frame_bytes, frame_crc32: (F,) int64, by row.
        frame_size: (F, 2) int64 height and width of the colour image.
        pair_scene: (P,) int32, ascending; pair_a, pair_b: (P,) int64 rows of frames.
        pair_row: (P,) int64, which of the pairs of its frame a a pair is.
        dataset_pairs: (D + 1,) int64, where each data set's pairs begin; the last is P.

    Raises:
        DataError: a table is broken, a pair names a frame that is not there, or a frame such a scene.
    """

    def __init__(self, datasets: Sequence[str], scenes: Callable[[str], bool] | None = None) -> None:
        self.scene_names: list[str] = []
        self.shards: list[str] = []
        scene_parts: list[tuple[NDArray[np.int64], ...]] = []
        frame_parts: list[tuple[NDArray[np.int64], ...]] = []
        pair_parts: list[tuple[NDArray[np.int64], ...]] = []
        sizes: list[NDArray[np.int64]] = []
        self.scene_rule: list[MatchRule] = []
        self.scene_metric: list[bool] = []
        frames_before = 0
        for root in datasets:
            dataset = Dataset(root)
            frames = dataset.table("frames", _FRAME_COLUMNS)
            pairs = dataset.table("pairs", ["scene", "frame_a", "frame_b"])
            names = sorted(set(pc.unique(frames["scene"]).to_pylist()))
            shards = pc.unique(frames["shard"]).to_pylist()
            scene_of_frame = _codes(frames["scene"], names, root)
            shard_of_frame = _codes(frames["shard"], shards, root) + len(self.shards)
            number, offset, size, crc32 = (
                frames[column].to_numpy() for column in ("frame", "offset", "bytes", "crc32")
            )
            scene_of_pair = _codes(pairs["scene"], names, root)
            a, b = pairs["frame_a"].to_numpy(), pairs["frame_b"].to_numpy()
            place = (scene_of_frame << 32) | number
            order = np.argsort(place)
            ends = [_find(place[order], (scene_of_pair << 32) | frame, root) for frame in (a, b)]
            row_a, row_b = (order[end] + frames_before for end in ends)
            rank = _rank_in_run(row_a)
            if scenes is not None:
                keep = np.array([scenes(name) for name in names], dtype=bool)[scene_of_pair]
                scene_of_pair, row_a, row_b, rank = (
                    column[keep] for column in (scene_of_pair, row_a, row_b, rank)
                )
            # The scene's own sample ends where the first of its frames begins.
            first_frame = np.full(len(names), np.iinfo(np.int64).max)
            np.minimum.at(first_frame, scene_of_frame, offset)
            start, own_crc32, voxels, rules, metric = _scene_columns(dataset, names)
            self.scene_rule += rules
            self.scene_metric += metric
            sizes.append(
                np.stack([frames[side].to_numpy().astype(np.int64) for side in ("height", "width")], 1)
            )
            scene_shard = np.zeros(len(names), dtype=np.int64)
            scene_shard[scene_of_frame] = shard_of_frame
            scene_parts.append((scene_shard, start, first_frame - start, own_crc32, voxels))
            scene = scene_of_frame + len(self.scene_names)
            frame_parts.append((scene, number, shard_of_frame, offset, size, crc32))
            pair_parts.append((scene_of_pair + len(self.scene_names), row_a, row_b, rank))
            frames_before += len(number)
            self.scene_names += names
            self.shards += [dataset.store.url(shard) for shard in shards]
        of_frames = [np.concatenate(column) for column in zip(*frame_parts, strict=True)]
        self.frame_scene, self.frame_number, self.frame_shard = of_frames[:3]
        self.frame_offset, self.frame_bytes, self.frame_crc32 = of_frames[3:]
        of_scenes = [np.concatenate(column) for column in zip(*scene_parts, strict=True)]
        self.scene_shard, self.scene_offset, self.scene_bytes = of_scenes[:3]
        self.scene_crc32, self.scene_voxels = of_scenes[3:]
        self.frame_size = np.concatenate(sizes)
        self.dataset_pairs = np.cumsum([0] + [len(part[0]) for part in pair_parts])
        columns = [np.concatenate(column) for column in zip(*pair_parts, strict=True)]
        by_scene = np.argsort(columns[0], kind="stable")
        self.pair_scene = columns[0][by_scene].astype(np.int32)
        self.pair_a, self.pair_b, self.pair_row = (column[by_scene] for column in columns[1:])


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


def _scene_columns(
    dataset: Dataset, names: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[MatchRule], list[bool]]:
    """Offset, checksum, voxels and rule of the scenes of these names, and whether they are in metres."""
    columns = ["scene", "offset", "crc32", "voxels", "length_unit", "match_rule", "match_tolerance"]
    scenes = dataset.table("scenes", columns)
    row_of = {name: row for row, name in enumerate(scenes["scene"].to_pylist())}
    remedy = "Run `pri3d-data verify`."
    try:
        rows = [row_of[name] for name in names]
        said = zip(scenes["match_rule"].to_pylist(), scenes["match_tolerance"].to_pylist(), strict=True)
        rules = [MatchRule(*rule) for rule in said]
    except KeyError as error:
        raise DataError(
            f"the frames table names the scene {error}, the scenes table does not.",
            file=dataset.root,
            remedy=remedy,
        ) from error
    except ValueError as error:
        raise DataError(
            f"a scene's matching cannot be followed: {error}.", file=dataset.root, remedy=remedy
        ) from error
    offset, crc32, voxels = (scenes[column].to_numpy()[rows] for column in ("offset", "crc32", "voxels"))
    units = scenes["length_unit"].to_pylist()
    return offset, crc32, voxels, [rules[row] for row in rows], [units[row] == "m" for row in rows]


def _rank_in_run(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many equal values stand directly before each."""
    at = np.arange(len(values))
    begins = np.ones(len(values), dtype=bool)
    begins[1:] = values[1:] != values[:-1]
    return at - np.maximum.accumulate(np.where(begins, at, 0))


def _find(ordered: NDArray[np.int64], wanted: NDArray[np.int64], root: str) -> NDArray[np.int64]:
    at = np.searchsorted(ordered, wanted)
    if len(wanted) and (len(ordered) == 0 or (ordered[np.minimum(at, len(ordered) - 1)] != wanted).any()):
        raise DataError(
            "a pair names a frame that the frames table lacks.", file=root, remedy="Run `pri3d-data verify`."
        )
    return at
