"""What every benchmark shares: one thread, the captures, interleaved timing, and the table with its JSON.

Import this module before any other: libraries read their number of threads when they are loaded.
"""

from __future__ import annotations

import os

os.environ.update(
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    NUMEXPR_NUM_THREADS="1",
    NUMBA_NUM_THREADS="1",
    OPENCV_FOR_THREADS_NUM="1",
)

# isort: split
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import click
import cv2
from rich.console import Console
from rich.table import Table

from pri3d_data.scannet import ScanNetCapture, ScanNetScene, find_scenes

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
_ROOM = "scannet_layout_7scenes"
_ROOM_STRIDE = 5
_PIPED_WIDTH = 150
_PACKAGES = ("numpy", "numba", "scipy", "pykdtree", "open3d-cpu", "webdataset", "simplejpeg")
_MORE_PACKAGES = ("opencv-python-headless", "pyarrow", "pillow")

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Captures:
    """The raw captures a benchmark works on.

    Attributes:
        root: folder in ScanNet's layout.
        stride: every how-many-th frame to take.
        name: says in the report what they are.
    """

    root: str
    stride: int
    name: str

    def scene(self) -> ScanNetScene:
        """The first scene."""
        return find_scenes(self.root)[0]

    def open(self) -> ScanNetCapture:
        """The first scene, opened."""
        return ScanNetCapture(self.scene(), self.stride)


@dataclass
class Report:
    """What a benchmark found.

    Attributes:
        benchmark: its name.
        setting: what was measured on.
        columns: the table's columns, key of a row to heading.
        rows: one dictionary a line of the table.
        figures: more figures; ratios are named ``ratio_<peer>``, more than 1 means ours is better.
        notes: sentences below the table.
    """

    benchmark: str
    setting: dict[str, Any]
    columns: Mapping[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def publish(self, json_file: Path | None, markdown: bool) -> None:
        """Print the table, as Markdown if asked, and write the same figures to a file."""
        head = machine()
        if json_file is not None:
            content = {"benchmark": self.benchmark, **head, "setting": self.setting, **self.figures}
            content |= {"rows": self.rows, "notes": self.notes}
            json_file.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
        facts = [
            ", ".join(f"{key.replace('_', ' ')} {_text(value)}" for key, value in self.setting.items()),
            f"Python {head['python']}, {head['cpu']}, 1 of {head['cores']} cores, load {head['load']:.2f}",
            ", ".join(f"{name} {number}" for name, number in head["versions"].items()),
        ]
        cells = [[_text(row.get(key)) for key in self.columns] for row in self.rows]
        if markdown:
            print(_markdown(head["command"], facts, list(self.columns.values()), cells, self.notes))
            return
        console = Console() if sys.stdout.isatty() else Console(width=_PIPED_WIDTH)
        table = Table(title=self.benchmark, caption="\n".join(facts), caption_justify="left")
        for i, heading in enumerate(self.columns.values()):
            table.add_column(heading, justify="right" if i else "left", no_wrap=i == 0)
        for line in cells:
            table.add_row(*line)
        console.print(table)
        for note in self.notes:
            console.print(f"- {note}", highlight=False, markup=False)


def options(command: _Command) -> _Command:
    """Add the options every benchmark takes to a click command's function."""
    for option in (
        click.option("--markdown", is_flag=True, help="Print the table as Markdown."),
        click.option(
            "--stride", type=click.IntRange(min=1), help="Take every how-many-th frame. [default: 5]"
        ),
        click.option(
            "--data",
            type=click.Path(exists=True, file_okay=False),
            help="Raw captures in ScanNet's layout. [default: the real room; without it a made-up one]",
        ),
        click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True),
        click.option(
            "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures here."
        ),
    ):
        command = option(command)
    return command


def captures(data: str | None, stride: int | None, scratch: Path) -> Captures:
    """The captures to measure on: ``data``, else the real room, else a procedural room made in ``scratch``.

    Args:
        data: folder in ScanNet's layout.
        stride: every how-many-th frame; None takes every fifth, of a made-up capture all.
        scratch: an empty folder.

    Raises:
        click.UsageError: there is no data, and none can be made.
    """
    if data is not None:
        return Captures(data, stride or _ROOM_STRIDE, Path(data).resolve().name)
    room = Path(os.environ.get("PRI3D_SHARED_DATA", _SHARED)) / _ROOM
    if room.is_dir():
        return Captures(str(room), stride or _ROOM_STRIDE, _ROOM)
    try:
        from pri3d_data.synth.scannet import ScanNetSynth, write_scannet
    except ImportError as error:
        raise click.UsageError(f"No real room and no procedural ones ({error}). Give --data.") from error
    write_scannet(scratch / "raw", scenes=1, seed=0, spec=ScanNetSynth(frames=40, noise=True, holes=True))
    return Captures(str(scratch / "raw"), stride or 1, "procedural room")


def one_core() -> None:
    """Keep this process, and what it starts, on one core with one thread a library."""
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def interleaved(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every side, A B C A B C …, so that a machine that slows down slows all of them.

    Args:
        sides: what to time, by name.
        repeats: how many rounds; time what must be warm once before.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, work in sides.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def median(values: Sequence[float]) -> float:
    """The middle of the repeats."""
    return float(statistics.median(values))


def spread(values: Sequence[float]) -> float:
    """Largest minus smallest repeat, as a share of the median."""
    return (max(values) - min(values)) / median(values)


def machine() -> dict[str, Any]:
    """What a figure depends on beside the code: interpreter, processor, load, versions, command."""
    versions = {}
    for package in _PACKAGES + _MORE_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "load": os.getloadavg()[0],
        "versions": versions,
        "command": "python benchmarks/" + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _markdown(
    command: str,
    facts: Sequence[str],
    headings: Sequence[str],
    cells: Sequence[Sequence[str]],
    notes: list[str],
) -> str:
    lines = [f"`{command}`", "", *(f"{fact}.  " for fact in facts), ""]
    lines += [_row(headings), _row(["---"] + ["---:"] * (len(headings) - 1)), *map(_row, cells)]
    return "\n".join(lines + [""] + [f"- {note}" for note in notes])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        if value == 0 or not math.isfinite(value):
            return f"{value:g}"
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
