"""Peak memory and time of the overlap stage as a scan gets longer, each length in a process of its own.

python benchmarks/memory.py --data ../shared/data/scannet_layout_7scenes --json memory.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines.rgbd import count_overlap
from pipelines.rgbd_parameters import RgbdParameters
from pipelines.scannet import open_scan
from pri3d_data.scannet import find_scenes


def one_length(data: str, stride: int) -> dict[str, float]:
    """Run the stage once in this process."""
    start = time.perf_counter()
    overlap = count_overlap(open_scan, find_scenes(data)[0], RgbdParameters(stride=stride))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_gb": peak / 1e9, "pairs": len(overlap.pairs.overlap)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/scannet_layout_7scenes")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--frames", type=int, nargs="*", default=[20, 40, 100, 200])
    parser.add_argument("--stride", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stride:
        print(json.dumps(one_length(arguments.data, arguments.stride)))
        return
    rows = []
    for frames in arguments.frames:
        command = [sys.executable, __file__, "--data", arguments.data, "--stride", str(max(1, 200 // frames))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append({"frames": frames, **json.loads(done.stdout)})
    table = Table("frames", "pairs kept", "seconds", "peak GB")
    for row in rows:
        table.add_row(str(row["frames"]), str(row["pairs"]), f"{row['seconds']:.1f}", f"{row['peak_gb']:.2f}")
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=2))


if __name__ == "__main__":
    main()
