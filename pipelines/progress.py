"""A build as its user sees it: a live display on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipelines.build import BuildSummary
from pipelines.cluster import Cluster
from pipelines.plan import BuildPlan
from pipelines.record import SceneRecord
from pipelines.shard_writing import StagedShard

_QUIET_SECONDS = 10.0
_MB = 1e6


class BuildProgress:
    """A `build.Watcher` that prints.

    Args:
        console: where to; a terminal gets a live display.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rates]}"),
            console=console,
        )
        self._live = Live(self._bar, console=console, refresh_per_second=4) if console.is_terminal else None
        self._start = self._last_line = time.monotonic()
        self._scenes = self._total = self._frames = self._pairs = self._bytes = self._failures = 0

    def started(self, plan: BuildPlan, cluster: Cluster, steps: int) -> None:
        """Say what will be done and where."""
        for line in plan.changed:
            self._console.print(f"[yellow]![/] {line}")
        where = f"{cluster.workers} workers" if cluster.client else "this process"
        limit = f", at most {cluster.memory_limit / 1e9:.1f} GB each" if cluster.memory_limit else ""
        self._console.print(
            f"{len(plan.todo)} scenes to build, {len(plan.kept)} already there; {where}{limit}."
            + (f" Dashboard: {cluster.dashboard}" if cluster.dashboard else "")
        )
        self._total = len(plan.todo)
        self._steps = self._bar.add_task("steps", total=steps, rates="")
        self._task = self._bar.add_task("scenes", total=self._total, rates="")
        self._start = time.monotonic()
        if self._live is not None:
            self._live.start()

    def stage_done(self, scene: str, stage: str) -> None:
        """Move the bar of steps."""
        self._bar.update(self._steps, advance=1, description=f"steps ({scene}: {stage})")

    def scene_done(self, scene: str, record: SceneRecord | None, failures: int) -> None:
        """Count a scene."""
        self._scenes += 1
        self._bar.update(self._steps, advance=1)
        self._failures += failures
        if record is not None:
            self._frames += len(record.frames["frame"])
            self._pairs += len(record.pairs["frame_a"])
            self._bytes += record.bytes
        else:
            self._console.print(f"[red]✗[/] {scene} could not be built; see the failures table")
        seconds = max(time.monotonic() - self._start, 1e-3)
        rates = (
            f"{self._frames} frames ({self._frames / seconds:.1f}/s), {self._pairs} pairs "
            f"({self._pairs / seconds:.0f}/s), {self._bytes / _MB:.1f} MB, {self._failures} failures"
        )
        self._bar.update(self._task, advance=1, rates=rates)
        if self._live is None and (
            time.monotonic() - self._last_line > _QUIET_SECONDS or self._scenes == self._total
        ):
            self._last_line = time.monotonic()
            left = seconds / self._scenes * (self._total - self._scenes)
            self._console.print(f"{self._scenes}/{self._total} scenes, {rates}, {left:.0f} s left")

    def shard_done(self, shard: StagedShard) -> None:
        """Nothing to show: shards follow scenes closely."""

    def __enter__(self) -> BuildProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def print_summary(console: Console, output: str, summary: BuildSummary) -> None:
    """What was built, what was not, and what to do next."""
    frames = sum(len(record.frames["frame"]) for record in summary.records.values())
    pairs = sum(len(record.pairs["frame_a"]) for record in summary.records.values())
    size = sum(shard.bytes for shard in summary.shards) / _MB
    if not summary.changed:
        console.print(f"Nothing to do: '{output}' is up to date.")
    console.print(
        f"{output}: {len(summary.records)} scenes ({summary.built} built now), {frames} frames, "
        f"{pairs} pairs, {len(summary.shards)} shards, {size:.1f} MB."
    )
    if summary.failures:
        reasons: dict[str, int] = {}
        for failure in summary.failures:
            text = f"{failure.stage}: {failure.reason}"
            reasons[text] = reasons.get(text, 0) + 1
        console.print(
            f"[yellow]{len(summary.failures)} failures[/] (each with its place in the table 'failures'):"
        )
        for text, count in sorted(reasons.items(), key=lambda item: -item[1])[:8]:
            console.print(f"  {count} × {text}", highlight=False, markup=False)
