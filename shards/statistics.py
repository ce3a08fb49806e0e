"""What is in a data set, counted from its tables."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np

from shards.dataset import Dataset
from shards.schema import TIMINGS_FILE

_BINS = 10


def summarise(dataset: Dataset) -> dict[str, Any]:
    """Counts, sizes, the overlap histogram, time by stage and failures, JSON-ready.

    Raises:
        DataError: a table is missing or broken.
    """
    scenes = dataset.table("scenes", ["scene", "frames", "pairs", "voxels", "bytes"])
    shards = dataset.table("shards", ["shard", "bytes"])
    overlap = dataset.table("pairs", ["overlap"])["overlap"].to_numpy()
    frames = scenes["frames"].to_numpy()
    pairs = scenes["pairs"].to_numpy()
    failures = dataset.table("failures", ["stage", "reason"])
    total = int(shards["bytes"].to_numpy().sum())
    histogram, edges = np.histogram(overlap, bins=_BINS, range=(0.0, 1.0))
    return {
        "dataset": dataset.about["dataset"],
        "parameters": dataset.about["parameters"],
        "scenes": scenes.num_rows,
        "scenes_without_pairs": int((pairs == 0).sum()),
        "scenes_without_geometry": int((scenes["voxels"].to_numpy() == 0).sum()),
        "frames": int(frames.sum()),
        "frames_per_scene": _spread(frames),
        "pairs": int(pairs.sum()),
        "pairs_per_scene": _spread(pairs),
        "overlap_histogram": {
            "edges": [round(float(edge), 3) for edge in edges],
            "pairs": [int(count) for count in histogram],
        },
        "shards": shards.num_rows,
        "bytes": total,
        "bytes_per_pair": round(total / max(1, len(overlap)), 1),
        "seconds_by_stage": _seconds(dataset),
        "failures": failures.num_rows,
        "failures_by_stage": dict(sorted(Counter(failures["stage"].to_pylist()).items())),
    }


def _spread(counts: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, float]:
    if len(counts) == 0:
        return {}
    return {"least": int(counts.min()), "median": float(np.median(counts)), "most": int(counts.max())}


def _seconds(dataset: Dataset) -> dict[str, float]:
    if not dataset.store.exists(TIMINGS_FILE):
        return {}
    seconds: dict[str, float] = {}
    for stages in json.loads(dataset.store.read(TIMINGS_FILE)).values():
        for stage, value in stages.items():
            seconds[stage] = seconds.get(stage, 0.0) + float(value)
    return {stage: round(value, 3) for stage, value in seconds.items()}
