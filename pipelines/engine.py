"""Runs jobs, each a small graph of stages, on this process, on workers of this machine, or on a Dask cluster.

The engine knows no stage and no data set. It keeps a bounded number of jobs under way, so that memory follows
the number of workers and not the number of scenes.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, as_completed
from distributed.client import Future

from pipelines.stage import Done, Failed, Stage, attempt
from pri3d_data.capture import Failure
from pri3d_data.errors import Pri3DError


@dataclass(frozen=True)
class Job:
    """Stages to run for one thing, in an order in which each comes after those it needs.

    Attributes:
        name: what the job is for; unique among the jobs under way.
        stages: the last one's result is the job's.
        arguments: the first arguments of every stage.
    """

    name: str
    stages: Sequence[Stage]
    arguments: tuple[Any, ...] = field(repr=False)


@dataclass(frozen=True)
class StageDone:
    """A stage other than the last of its job has ended."""

    job: str
    stage: str


@dataclass(frozen=True)
class JobDone:
    """A job has ended, well or not."""

    job: str
    outcome: Done | Failed


class Engine:
    """Runs jobs and yields what becomes of them, in the order they end.

    Args:
        client: a Dask client, or None to run every job in this process, one after the other.
        workers: how many run at a time, which bounds the jobs under way.
    """

    def __init__(self, client: Client | None, workers: int) -> None:
        self._client = client
        self._most_under_way = 2 * max(1, workers)
        self._waiting: deque[Job] = deque()
        self._under_way: dict[str, Job] = {}
        self._suspects: deque[Job] = deque()
        self._alone: set[str] = set()
        self._stage_of: dict[str, tuple[Job, str]] = {}
        self._completed: Any = as_completed() if client is not None else None

    def submit(self, job: Job) -> None:
        """Queue a job; `events` starts it when there is room."""
        self._waiting.append(job)

    def events(self) -> Iterator[StageDone | JobDone]:
        """What happens, until nothing is queued or under way; jobs may be submitted meanwhile.

        Raises:
            Pri3DError: a stage met an error that concerns more than its own job.
        """
        while self._waiting or self._under_way or self._suspects:
            if self._client is None:
                yield from self._run_here(self._waiting.popleft())
                continue
            self._fill()
            event = self._next()
            if event is not None:
                yield event

    def cancel(self) -> None:
        """Drop everything queued or under way, without waiting for it."""
        self._waiting.clear()
        self._under_way.clear()
        self._suspects.clear()
        if self._completed is not None:
            futures = list(self._completed.futures)
            self._completed.clear()
            with contextlib.suppress(Exception):
                if self._client is not None:
                    self._client.cancel(futures, force=True)

    def _run_here(self, job: Job) -> Iterator[StageDone | JobDone]:
        results: dict[str, Done | Failed] = {}
        for stage in job.stages:
            inputs = [results[name] for name in stage.needs]
            results[stage.name] = attempt(stage.name, stage.run, job.name, job.arguments, *inputs)
            if stage is not job.stages[-1]:
                yield StageDone(job.name, stage.name)
        yield JobDone(job.name, results[job.stages[-1].name])

    def _fill(self) -> None:
        """Start what there is room for. Jobs whose worker died come last, one at a time."""
        if not self._waiting and not self._under_way:
            suspect = self._suspects.popleft()
            self._alone.add(suspect.name)
            self._start(suspect)
        while self._waiting and not self._alone and len(self._under_way) < self._most_under_way:
            self._start(self._waiting.popleft())

    def _start(self, job: Job) -> None:
        assert self._client is not None
        futures: dict[str, Future] = {}
        for stage in job.stages:
            future = self._client.submit(
                attempt,
                stage.name,
                stage.run,
                job.name,
                job.arguments,
                *(futures[name] for name in stage.needs),
                pure=False,
                key=f"{stage.name}-{job.name}-{id(job):x}-{job.name in self._alone}",
            )
            futures[stage.name] = future
            self._stage_of[future.key] = (job, stage.name)
        self._under_way[job.name] = job
        self._completed.update(futures.values())

    def _next(self) -> StageDone | JobDone | None:
        future: Future = next(self._completed)
        job, stage = self._stage_of.pop(future.key)
        last = stage == job.stages[-1].name
        if future.status == "finished" and not last:
            return StageDone(job.name, stage)
        try:
            outcome: Done | Failed = future.result()
        except Pri3DError:
            raise
        except Exception as error:
            # The worker, not the stage, gave up: killed, out of memory, or lost with its machine.
            reason = f"the worker was lost or killed ({type(error).__name__}: {error})"
            outcome = Failed(Failure(job.name, -1, stage, "", -1, reason))
            if last and job.name not in self._alone:
                # A dying worker takes down whatever else was queued on it: who is to blame shows alone.
                del self._under_way[job.name]
                self._suspects.append(job)
                return None
        if not last:
            return StageDone(job.name, stage)
        del self._under_way[job.name]
        self._alone.discard(job.name)
        return JobDone(job.name, outcome)
