"""How time and memory of `match_counts` grow with frames and with points a frame, a process for each size.

python benchmarks/overlap_scaling.py --json overlap_scaling.json

A made-up scan of 300 frames is thinned out evenly, in frames or in points. The model beside the measurements
is so many nanoseconds a point, for sorting, and so many a group (one frame's points in one cell), for
deciding. Seconds are the processor's, so that a busy machine bends the curve less.
"""

from __future__ import annotations

import measure

# isort: split
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from overlap import RADIUS_M, load_clouds, procedural_room

from pri3d_data.cells import SIDE_OF_RADIUS
from pri3d_data.overlap import match_counts

COLUMNS = {
    "frames": "frames",
    "points": "points",
    "groups": "groups",
    "matches_per_point": "matches / point",
    "seconds": "processor s",
    "model_seconds": "model, s",
    "ms_per_ordered_pair": "ms / ordered pair",
    "ns_per_point": "ns / point",
    "added_mb": "memory added, MB",
}


def one_size(cloud: Path, frames: int, every: int, repeats: int) -> dict[str, float]:
    """Count the thinned cloud in this process."""
    starts = np.load(cloud / "starts.npy")
    points = np.load(cloud / "points.npy", mmap_mode="r")
    chosen = np.unique(np.linspace(0, len(starts) - 2, frames).round().astype(int))
    parts = [points[starts[f] : starts[f + 1] : every] for f in chosen]
    kept_starts = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    kept = np.empty((kept_starts[-1], 3), dtype=np.float32)
    for part, start in zip(parts, kept_starts[:-1], strict=True):
        kept[start : start + len(part)] = part
    del points, parts
    match_counts(kept[: kept_starts[1]], kept_starts[:2], RADIUS_M)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _status_bytes("VmRSS")
    seconds = []
    for _ in range(repeats):
        start_s = time.process_time()
        counts = match_counts(kept, kept_starts, RADIUS_M)
        seconds.append(time.process_time() - start_s)
    added = _status_bytes("VmHWM") - before
    return {
        "frames": len(chosen),
        "points": len(kept),
        "groups": _groups(kept, kept_starts),
        "matches_per_point": float(counts.sum() - len(kept)) / len(kept),
        "seconds": measure.median(seconds),
        "ms_per_ordered_pair": 1000 * measure.median(seconds) / (len(chosen) * (len(chosen) - 1)),
        "ns_per_point": 1e9 * measure.median(seconds) / len(kept),
        "added_mb": max(added, 0) / 1e6,
    }


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _groups(points: NDArray[np.float32], starts: NDArray[np.int64]) -> int:
    """How many cells each frame's points lie in, over all frames."""
    count = 0
    for first, last in pairwise(starts):
        cells = np.floor(points[first:last] / (RADIUS_M * SIDE_OF_RADIUS)).astype(np.int64) + 2**20
        count += len(np.unique((cells[:, 0] << 42) | (cells[:, 1] << 21) | cells[:, 2]))
    return count


@click.command()
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--frames", multiple=True, type=int, default=(20, 40, 80, 160, 300), show_default=True)
@click.option("--every", multiple=True, type=int, default=(2, 4, 8), show_default=True)
@click.option("--cloud", type=click.Path(path_type=Path), hidden=True)
def main(
    json_file: Path | None,
    markdown: bool,
    repeats: int,
    frames: tuple[int, ...],
    every: tuple[int, ...],
    cloud: Path | None,
) -> None:
    """Time and memory of the overlap kernel as a scan gets longer, or denser."""
    measure.one_core()
    if cloud is not None:
        print(json.dumps(one_size(cloud, frames[0], every[0], repeats)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        found = measure.captures(procedural_room(folder, max(frames)), 1, folder)
        clouds = load_clouds(found, None)
        np.save(folder / "starts.npy", np.cumsum([0, *map(len, clouds)]).astype(np.int64))
        np.save(folder / "points.npy", np.concatenate(clouds))
        del clouds
        middle = sorted(frames)[len(frames) // 2]
        sizes = [(count, 1) for count in frames] + [(middle, step) for step in every]
        rows: list[dict[str, Any]] = [_in_a_process(folder, *size, repeats) for size in sizes]
    size = np.array([[row["points"], row["groups"]] for row in rows])
    taken = np.array([row["seconds"] for row in rows])
    (a, b), *_ = np.linalg.lstsq(size / taken[:, None], np.ones(len(rows)), rcond=None)
    for row, seconds in zip(rows, size @ np.array([a, b]), strict=True):
        row["model_seconds"] = float(seconds)
    report = measure.Report("overlap_scaling", {"radius_m": RADIUS_M, "repeats": repeats}, COLUMNS, rows)
    report.figures = {"model_ns_per_point": 1e9 * float(a), "model_ns_per_group": 1e9 * float(b)}
    report.notes.append(f"Model: {1e9 * a:.0f} ns a point + {1e9 * b:.1f} ns a group.")
    report.publish(json_file, markdown)


def _in_a_process(folder: Path, frames: int, every: int, repeats: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--cloud", str(folder), "--frames", str(frames)]
    command += ["--every", str(every), "--repeats", str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


if __name__ == "__main__":
    main()
