"""Every 25th frame out of a large `.sens`: our index against reading the whole file, and memory of both."""

from __future__ import annotations

# isort: off
import measure

# isort: on
import multiprocessing
import struct
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from pri3d_data.sens import SensFile
from pri3d_data.sens_writer import SensSettings, SensWriter

STRIDE = 25
COLUMNS = {
    "what": "",
    "seconds": "seconds",
    "spread": "spread",
    "ratio": "ours is faster by",
    "memory_mb": "memory added, MB",
}


def write_large(found: measure.Captures, path: Path, megabytes: int) -> int:
    """Repeat a capture's records until the file has the size asked for; the number of frames."""
    source = SensFile(found.scene().sens)
    header = source.header
    records, _ = source.records()
    settings = SensSettings(
        color_width=header.color_size[0],
        color_height=header.color_size[1],
        depth_width=header.depth_size[0],
        depth_height=header.depth_size[1],
        intrinsic_color=header.intrinsic_color.astype(np.float32),
        intrinsic_depth=header.intrinsic_depth.astype(np.float32),
        color_codec=header.color_codec,
        depth_codec="raw",
        depth_shift=header.depth_shift,
    )
    written = frames = 0
    with SensWriter(path, settings) as sens:
        while written < megabytes * 1_000_000:
            record = records[frames % len(records)]
            color, depth = source.color(record).data, source.depth(record).tobytes()
            sens.frame(record.sensor_to_world.astype(np.float32), frames, frames, color, depth)
            written += len(color) + len(depth) + 96
            frames += 1
    return frames


def indexed(path: Path) -> int:
    """Index the file, read every 25th frame's blobs."""
    sens = SensFile(str(path))
    records, _ = sens.records(STRIDE)
    return sum(len(sens.color(record).data) + sens.depth(record).nbytes for record in records)


def whole(path: Path) -> int:
    """Every record into memory, then every 25th: how the authors' reader works, without its copies."""
    with path.open("rb") as file:
        file.seek(4)
        (name,) = struct.unpack("<Q", file.read(8))
        file.seek(12 + name + 256 + 24)
        _, frames = struct.unpack("<fQ", file.read(12))
        records = []
        for _ in range(frames):
            *_, color, depth = struct.unpack("<16f4Q", file.read(96))
            records.append((file.read(color), file.read(depth)))
    return sum(len(color) + len(depth) for color, depth in records[::STRIDE])


def memory_added(reader: str, path: Path) -> float:
    """MB by which a fresh process grows while it reads."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grow, (reader, path))


def _grow(reader: str, path: Path) -> float:
    before = _peak_mb()
    READERS[reader](path)
    return _peak_mb() - before


def _peak_mb() -> float:
    # getrusage would give the parent's peak, which a child inherits until it has passed it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3


READERS = {"ours": indexed, "whole_file": whole}


@click.command()
@measure.options
@click.option("--megabytes", default=1000, show_default=True, help="Size of the file that is read.")
def main(
    json_file: Path | None, repeats: int, data: str | None, stride: int | None, markdown: bool, megabytes: int
) -> None:
    """Seconds and memory to take every 25th frame of a large `.sens`, and the cost of a skipped frame."""
    measure.one_core()
    with tempfile.TemporaryDirectory() as scratch:
        found = measure.captures(data, stride, Path(scratch))
        path = Path(scratch) / "large.sens"
        frames = write_large(found, path, megabytes)
        sides = {name: lambda reader=reader: reader(path) for name, reader in READERS.items()}
        measure.interleaved(sides, 1)
        seconds = measure.interleaved(sides, repeats)
        memory = {name: memory_added(name, path) for name in READERS}
        skips = []
        for _ in range(max(3, repeats)):
            sens = SensFile(str(path))
            start = time.perf_counter()
            sens.records(10**9)
            skips.append((time.perf_counter() - start) / frames)
    ours = measure.median(seconds["ours"])
    report = measure.Report(
        "sens_reading",
        {
            "data": found.name,
            "file_mb": megabytes,
            "frames": frames,
            "taken": -(-frames // STRIDE),
            "repeats": repeats,
        },
        COLUMNS,
        notes=[
            "The file's bytes are in the page cache; memory is that of a fresh process after its imports."
        ],
    )
    labels = {"ours": "SensFile: index, then the frames wanted", "whole_file": "the whole file into memory"}
    for name, label in labels.items():
        took = measure.median(seconds[name])
        report.rows.append(
            {
                "what": label,
                "seconds": took,
                "spread": f"{100 * measure.spread(seconds[name]):.1f} %",
                "ratio": took / ours,
                "memory_mb": memory[name],
            }
        )
    report.figures = {
        "ratio_whole_file": measure.median(seconds["whole_file"]) / ours,
        "ms_per_skipped_frame": 1e3 * measure.median(skips),
        "memory_added_mb": memory["ours"],
        "memory_added_mb_whole_file": memory["whole_file"],
    }
    report.notes.append(f"A skipped frame costs {1e3 * measure.median(skips):.4f} ms.")
    report.publish(json_file, markdown)


if __name__ == "__main__":
    main()
