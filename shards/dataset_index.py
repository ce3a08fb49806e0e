"""The tables of one data set, joined: which frames make up a pair, and where a frame's bytes lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pri3d_data.errors import DataError
from shards.dataset import Dataset
from shards.match_rule import MatchRule

_SCENES = ["scene", "offset", "crc32", "voxels", "length_unit", "match_rule", "match_tolerance"]
_FRAMES = ["scene", "frame", "shard", "offset", "bytes", "crc32", "height", "width"]
_REMEDY = "Run `pri3d-data verify`."

Column = NDArray[np.int64]


class SceneColumns(NamedTuple):
    """(S,) each: the shard, and where the scene's own sample lies, before its frames; its voxels."""

    shard: Column
    offset: Column
    bytes: Column
    crc32: Column
    voxels: Column


class FrameColumns(NamedTuple):
    """(F,) each: scene, number in the capture, where its sample lies, and its image's size."""

    scene: Column
    number: Column
    shard: Column
    offset: Column
    bytes: Column
    crc32: Column
    height: Column
    width: Column


class PairColumns(NamedTuple):
    """(P,) each: scene, rows of both frames, and which of the pairs of frame a it is."""

    scene: Column
    a: Column
    b: Column
    row: Column


@dataclass(frozen=True, eq=False)
class DatasetIndex:
    """One data set's scenes, shards, frames and pairs, each counted from 0.

    Attributes:
        names: of the scenes that have frames. rules, metric: how their pixels match, and whether their
            lengths are metres.
        shards: paths or URLs.
    """

    names: list[str]
    rules: list[MatchRule]
    metric: list[bool]
    shards: list[str]
    scenes: SceneColumns
    frames: FrameColumns
    pairs: PairColumns


def index_dataset(dataset: Dataset, scenes: Callable[[str], bool] | None = None) -> DatasetIndex:
    """Join a data set's tables.

    Args:
        dataset: what to join.
        scenes: keeps the pairs of a scene where it returns True; None keeps all.

    Raises:
        DataError: a table is broken, a pair names a frame that is not there, or a frame such a scene.
    """
    table = dataset.table("frames", _FRAMES)
    names = sorted(set(pc.unique(table["scene"]).to_pylist()))
    shards = pc.unique(table["shard"]).to_pylist()
    columns = (
        table[name].to_numpy().astype(np.int64) for name in ("offset", "bytes", "crc32", "height", "width")
    )
    frames = FrameColumns(
        _codes(table["scene"], names, dataset),
        table["frame"].to_numpy(),
        _codes(table["shard"], shards, dataset),
        *columns,
    )
    pairs = _pairs(dataset, names, frames)
    if scenes is not None:
        keep = np.array([scenes(name) for name in names], dtype=bool)[pairs.scene]
        pairs = PairColumns(*(column[keep] for column in pairs))
    rows = _scene_rows(dataset, names)
    return DatasetIndex(
        names,
        _rules(dataset, rows),
        [unit == "m" for unit in rows["length_unit"].to_pylist()],
        [dataset.store.url(shard) for shard in shards],
        _scenes(rows, frames),
        frames,
        pairs,
    )


def _pairs(dataset: Dataset, names: list[str], frames: FrameColumns) -> PairColumns:
    table = dataset.table("pairs", ["scene", "frame_a", "frame_b"])
    scene = _codes(table["scene"], names, dataset)
    # Scene and number in one integer, so that a frame is found by bisection.
    place = (frames.scene << 32) | frames.number
    order = np.argsort(place)
    a, b = (
        order[_find(place[order], (scene << 32) | table[end].to_numpy(), dataset)]
        for end in ("frame_a", "frame_b")
    )
    return PairColumns(scene, a, b, _rank_in_run(a))


def _scene_rows(dataset: Dataset, names: list[str]) -> pa.Table:
    """Rows of the scenes table of the scenes that have frames, in the order of their names."""
    table = dataset.table("scenes", _SCENES)
    row_of = {name: row for row, name in enumerate(table["scene"].to_pylist())}
    try:
        return table.take([row_of[name] for name in names])
    except KeyError as error:
        raise DataError(
            f"the frames table names the scene {error}, the scenes table does not.",
            file=dataset.root,
            remedy=_REMEDY,
        ) from error


def _rules(dataset: Dataset, rows: pa.Table) -> list[MatchRule]:
    said = zip(rows["match_rule"].to_pylist(), rows["match_tolerance"].to_pylist(), strict=True)
    try:
        return [MatchRule(name, tolerance) for name, tolerance in said]
    except ValueError as error:
        raise DataError(
            f"a scene's matching cannot be followed: {error}.", file=dataset.root, remedy=_REMEDY
        ) from error


def _scenes(rows: pa.Table, frames: FrameColumns) -> SceneColumns:
    offset, crc32, voxels = (rows[name].to_numpy().astype(np.int64) for name in ("offset", "crc32", "voxels"))
    shard = np.zeros(len(offset), dtype=np.int64)
    shard[frames.scene] = frames.shard
    # The scene's own sample ends where the first of its frames begins.
    first_frame = np.full(len(offset), np.iinfo(np.int64).max)
    np.minimum.at(first_frame, frames.scene, frames.offset)
    return SceneColumns(shard, offset, first_frame - offset, crc32, voxels)


def _codes(values: pa.ChunkedArray, names: list[str], dataset: Dataset) -> Column:
    """Position of every value in ``names``."""
    positions = pc.index_in(values, pa.array(names, pa.string()))
    if positions.null_count:
        stray = values.filter(pc.is_null(positions))[0].as_py()
        raise DataError(
            f"the pairs table names the scene '{stray}', the frames table does not.",
            file=dataset.root,
            remedy=_REMEDY,
        )
    codes: Column = positions.to_numpy().astype(np.int64)
    return codes


def _rank_in_run(values: Column) -> Column:
    """How many equal values stand directly before each."""
    at = np.arange(len(values))
    begins = np.ones(len(values), dtype=bool)
    begins[1:] = values[1:] != values[:-1]
    return at - np.maximum.accumulate(np.where(begins, at, 0))


def _find(ordered: Column, wanted: Column, dataset: Dataset) -> Column:
    at = np.searchsorted(ordered, wanted)
    if len(wanted) and (len(ordered) == 0 or (ordered[np.minimum(at, len(ordered) - 1)] != wanted).any()):
        raise DataError(
            "a pair names a frame that the frames table lacks.", file=dataset.root, remedy=_REMEDY
        )
    return at
