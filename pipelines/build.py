"""A build from beginning to end: plan, scenes through the engine, shards as scenes settle, publishing."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol

from pipelines.cluster import Cluster, open_cluster
from pipelines.dataset import BuiltScene, Scene
from pipelines.engine import Engine, Job, JobDone, StageDone
from pipelines.parameters import SceneParameters
from pipelines.plan import PARAMETERS_FILE, BuildPlan, BuildRequest, plan_build
from pipelines.publish import finish_publishing, publish
from pipelines.record import Place, SceneRecord, save_record
from pipelines.scratch import Scratch
from pipelines.shard_writing import StagedShard, shard_digest, write_shard
from pipelines.stage import Done, Stage
from pri3d_data.capture import Failure
from pri3d_data.errors import StorageError
from shards.packing import BYTES_PER_MB, pack
from shards.schema import VERSION, WORK_FOLDER
from shards.store import Store

_PACKAGES = ("numpy", "numba", "pyarrow", "dask", "opencv-python-headless", "simplejpeg", "pri3d")


class Watcher(Protocol):
    """Whoever shows a build's progress."""

    def started(self, plan: BuildPlan, cluster: Cluster, steps: int) -> None:
        """Work begins; ``steps`` stages will end, the last of each scene counted."""
        ...

    def stage_done(self, scene: str, stage: str) -> None:
        """A scene has come one step further."""
        ...

    def scene_done(self, scene: str, record: SceneRecord | None, failures: int) -> None:
        """A scene is finished; None where it failed."""
        ...

    def shard_done(self, shard: StagedShard) -> None:
        """A shard is written."""
        ...


@dataclass
class BuildSummary:
    """What a build came to.

    Attributes:
        records: every scene in the output.
        built: how many of them were built now.
        shards: of the output, in order.
        failures: rows of the failures table.
        changed: False where nothing had to be done.
    """

    records: dict[str, SceneRecord]
    built: int
    shards: list[StagedShard] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    changed: bool = True

    @property
    def exit_status(self) -> int:
        """0 all done, 1 with failures. Frames whose tracking was lost are in the nature of a capture."""
        return int(any(failure.stage != "index" or failure.frame < 0 for failure in self.failures))


def build(
    request: BuildRequest,
    workers: int,
    scheduler: str | None,
    watcher: Watcher,
    plan: BuildPlan | None = None,
) -> BuildSummary:
    """Build a data set, or as much of it as is missing.

    Args:
        request: what to build.
        workers, scheduler: see `cluster.open_cluster`.
        watcher: is told what happens.
        plan: the plan if it was already made.

    Raises:
        UsageError: the request cannot work.
        StorageError: the output refused; everything finished so far is kept.
    """
    store = Store(request.output)
    with _alone(store):
        finish_publishing(store)
        plan = plan or plan_build(request, store)
        store.write(PARAMETERS_FILE, [json.dumps(request.parameters.described()).encode()])
        run = _Run(request, store, plan, watcher)
        if plan.todo or run.has_unwritten_shards():
            with open_cluster(workers, scheduler) as cluster:
                watcher.started(plan, cluster, len(plan.todo) * (len(request.dataset.stages) + 1))
                run.work(Engine(cluster.client, cluster.workers))
        return run.finish()


class _Run:
    """The state of one build while it is under way."""

    def __init__(self, request: BuildRequest, store: Store, plan: BuildPlan, watcher: Watcher) -> None:
        self.request = request
        self.store = store
        self.plan = plan
        self.watcher = watcher
        self.records = dict(plan.kept)
        self.places = dict(plan.places)
        self.settled = set(plan.kept)
        self.scene_failures: list[Failure] = []
        self.staged = dict(plan.staged)
        self.writing: set[str] = set()

    def work(self, engine: Engine) -> None:
        parameters = self.request.parameters.scene
        for scene in self.plan.todo:
            save = partial(
                save_scene, self.request.output, self.request.input, self.plan.fingerprints[scene.scene]
            )
            last = self.request.dataset.stages[-1].name
            scratch = self._scratch(scene.scene)
            stages = (
                *(
                    replace(stage, run=partial(stage.run, scratch=scratch)) if stage.keeps_parts else stage
                    for stage in self.request.dataset.stages
                ),
                Stage("save", save, needs=(last,)),
            )
            engine.submit(Job(scene.scene, stages, (scene, parameters)))
        self._write_full_shards(engine)
        try:
            for event in engine.events():
                if isinstance(event, StageDone):
                    self.watcher.stage_done(event.job, event.stage)
                elif event.job in self.writing:
                    self._shard_done(event)
                else:
                    self._scene_done(event)
                    self._write_full_shards(engine)
        except BaseException:
            engine.cancel()
            raise

    def has_unwritten_shards(self) -> bool:
        return any(self._shard(*numbered) is None for numbered in enumerate(self._parts()))

    def is_published(self) -> bool:
        return [shard_digest(part) for part in self._parts()] == [s.digest for s in self.plan.published]

    def finish(self) -> BuildSummary:
        found = [self._shard(*numbered) for numbered in enumerate(self._parts())]
        shards = [shard for shard in found if shard is not None]
        assert len(shards) == len(found)
        failures = self.scene_failures + [f for record in self.records.values() for f in record.failures]
        failures.sort(key=lambda f: (f.scene, f.frame, f.stage, f.file, f.offset))
        summary = BuildSummary(self.records, len(self.records) - len(self.plan.kept), shards, failures)
        described = self.request.parameters.described()
        summary.changed = not (
            self.is_published() and self.plan.published_parameters == described and not self.plan.todo
        )
        if summary.changed:
            stands = [self.plan.published[n : n + 1] == [shard] for n, shard in enumerate(shards)]
            publish(self.store, self.records, shards, stands, failures, _about(self.request, summary))
        else:
            self.store.remove_folder(WORK_FOLDER)
        return summary

    def _parts(self) -> list[list[SceneRecord]]:
        """Scenes of every shard, as far as every scene before them is settled."""
        ready: list[SceneRecord] = []
        for scene in self.plan.order:
            if scene not in self.settled:
                break
            if scene in self.records:
                ready.append(self.records[scene])
        target = self.request.parameters.shard_mb * BYTES_PER_MB
        return [[ready[i] for i in part] for part in pack([record.bytes for record in ready], target)]

    def _shard(self, number: int, part: list[SceneRecord]) -> StagedShard | None:
        """The shard if it is written: under its final name, or staged to be moved there."""
        digest = shard_digest(part)
        # One that stands under another number is written anew: moving it could run over one still needed.
        published = self.plan.published[number : number + 1]
        return next((shard for shard in published if shard.digest == digest), self.staged.get(digest))

    def _write_full_shards(self, engine: Engine) -> None:
        parts = self._parts()
        if len(self.settled) < len(self.plan.order):
            parts = parts[:-1]
        for number, part in enumerate(parts):
            digest = shard_digest(part)
            if digest in self.writing or self._shard(number, part) is not None:
                continue
            self.writing.add(digest)
            places = [self.places[record.scene] for record in part]
            write = Stage("shard", partial(write_shard, self.request.output, part, places))
            engine.submit(Job(digest, (write,), ()))

    def _scene_done(self, event: JobDone) -> None:
        scene, outcome = event.job, event.outcome
        self.settled.add(scene)
        if isinstance(outcome, Done):
            record, failures = outcome.value
            if record is not None:
                record = replace(record, seconds=outcome.seconds)
                # The record comes after its bundle: a bundle without one is not used.
                save_record(self.store, record)
                if any(stage.keeps_parts for stage in self.request.dataset.stages):
                    self._scratch(scene).clear()
                self.records[scene] = record
                self.places[scene] = Place(record.scratch_file, 0)
            else:
                self.scene_failures += failures
        else:
            self.scene_failures.append(_relative(outcome.failure, self.request.input))
            failures = (outcome.failure,)
        self.watcher.scene_done(scene, self.records.get(scene), len(failures))

    def _scratch(self, scene: str) -> Scratch:
        return Scratch(self.request.output, scene, self.plan.fingerprints[scene])

    def _shard_done(self, event: JobDone) -> None:
        if not isinstance(event.outcome, Done):
            raise StorageError(f"A shard could not be written: {event.outcome.failure.reason}")
        shard: StagedShard = event.outcome.value
        self.staged[shard.digest] = shard
        for scene, _, offset in shard.scenes:
            if self.places[scene].file == self.records[scene].scratch_file:
                self.places[scene] = Place(shard.file, offset)
                self.store.remove(self.records[scene].scratch_file)
        self.watcher.shard_done(shard)


def save_scene(
    root: str, input_root: str, mark: str, scene: Scene, parameters: SceneParameters, built: BuiltScene
) -> tuple[SceneRecord | None, tuple[Failure, ...]]:
    """The last stage: put the bundle where it survives an interruption."""
    del parameters
    failures = tuple(_relative(failure, input_root) for failure in built.failures)
    bundle = built.bundle
    if bundle is None:
        return None, failures
    record = SceneRecord(
        scene.scene,
        mark,
        len(bundle.data),
        bundle.sha256,
        bundle.scene_row,
        bundle.frame_rows,
        bundle.pair_rows,
        failures,
    )
    Store(root).write(record.scratch_file, [bundle.data])
    return record, failures


def _relative(failure: Failure, input_root: str) -> Failure:
    # Tables are to come out the same wherever the raw data lie.
    absolute = os.path.abspath(input_root)  # noqa: PTH100 (fsspec normalises paths this way, links kept)
    file = failure.file.removeprefix(absolute).removeprefix(input_root).lstrip("/")
    return Failure(failure.scene, failure.frame, failure.stage, file, failure.offset, failure.reason)


def _about(request: BuildRequest, summary: BuildSummary) -> dict[str, Any]:
    records = summary.records.values()
    return {
        "format_version": VERSION,
        "dataset": request.dataset.name,
        "source": request.input,
        "parameters": request.parameters.described(),
        "stages": {stage.name: stage.version for stage in request.dataset.stages},
        "units": {
            "length": "length_unit of each scene",
            "timestamp": "us",
            "depth": "unit of each frame's camera.json",
        },
        "axes": "camera: x right, y down, z forward; poses: camera to world",
        "totals": {
            "scenes": len(summary.records),
            "frames": sum(len(record.frames["frame"]) for record in records),
            "pairs": sum(len(record.pairs["frame_a"]) for record in records),
            "shards": len(summary.shards),
            "bytes": sum(shard.bytes for shard in summary.shards),
            "failures": len(summary.failures),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
    }


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Hold the output's lock; the system lets go of it even if this process is killed."""
    if store.local is None:
        yield
        return
    try:
        store.local.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(store.local / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(
            f"The output '{store.root}' cannot be written to: {error.strerror}. Choose another --output."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StorageError(
            f"Another build is writing to '{store.root}'. Wait for it, or choose another --output."
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)
