from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.build import BuildSummary, build
from pipelines.cluster import Cluster
from pipelines.parameters import BuildParameters
from pipelines.plan import BuildPlan, BuildRequest
from pipelines.record import SceneRecord
from pipelines.registry import DATASETS
from pipelines.rgbd_parameters import RgbdParameters
from pipelines.shard_writing import StagedShard
from pri3d_data.synth.scannet import ScanNetSynth, write_scannet

FRAMES = 24
SMALL = BuildParameters(RgbdParameters(stride=4, image_size=(48, 64)), shard_mb=1)


class Seen:
    """A watcher that remembers, and interrupts where it is told to."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.scenes: list[str] = []
        self.shards = 0
        self.plan: BuildPlan | None = None
        self._interrupt_after = interrupt_after

    def started(self, plan: BuildPlan, cluster: Cluster, steps: int) -> None:
        self.plan = plan

    def stage_done(self, scene: str, stage: str) -> None:
        pass

    def scene_done(self, scene: str, record: SceneRecord | None, failures: int) -> None:
        self.scenes.append(scene)
        if self._interrupt_after is not None and len(self.scenes) >= self._interrupt_after:
            raise KeyboardInterrupt

    def shard_done(self, shard: StagedShard) -> None:
        self.shards += 1


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small procedural scans; read only."""
    root = tmp_path_factory.mktemp("made-up")
    spec = ScanNetSynth(frames=FRAMES, color_size=(162, 122), depth_size=(80, 60), noise=True, holes=True)
    write_scannet(root, scenes=3, seed=7, spec=spec)
    return root


@pytest.fixture
def raw(made_up: Path, tmp_path: Path) -> Path:
    """A copy to break things in."""
    copy = tmp_path / "raw"
    shutil.copytree(made_up, copy)
    return copy


def request_for(
    raw: Path, out: Path, parameters: BuildParameters = SMALL, **settings: object
) -> BuildRequest:
    return BuildRequest(DATASETS["scannet"], str(raw), str(out), parameters, **settings)  # type: ignore[arg-type]


Build = Callable[..., tuple[BuildSummary, Seen]]


@pytest.fixture
def run_build() -> Build:
    def run(
        raw: Path,
        out: Path,
        parameters: BuildParameters = SMALL,
        workers: int = 0,
        seen: Seen | None = None,
        **settings: object,
    ) -> tuple[BuildSummary, Seen]:
        seen = seen or Seen()
        return build(request_for(raw, out, parameters, **settings), workers, None, seen), seen

    return run


def digests(out: Path) -> dict[str, str]:
    """sha256 of every shard and table."""
    files = [*(out / "shards").iterdir(), *(out / "tables").iterdir()]
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)
    }


@pytest.fixture
def digests_of() -> Callable[[Path], dict[str, str]]:
    return digests


@pytest.fixture(scope="session")
def undisturbed(made_up: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up scans built in one go."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    build(request_for(made_up, out), 0, None, Seen())
    return out


@pytest.fixture
def interrupting() -> type[Seen]:
    return Seen
