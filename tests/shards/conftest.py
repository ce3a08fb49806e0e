from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.build import SceneRecord
from pipelines.publish import publish
from pipelines.record import Place
from pipelines.shard_writing import write_shard
from pri3d_data.camera import Camera
from pri3d_data.images import encode_depth_png, encode_jpeg
from shards import schema
from shards.bundle import Bundle, make_bundle
from shards.dataset import Dataset
from shards.parts import FrameSample, Geometry, PairRows, StoredDepth
from shards.store import Store

WIDTH, HEIGHT = 48, 32


@dataclass(frozen=True, eq=False)
class Written:
    root: Path
    images: dict[tuple[str, int], NDArray[np.uint8]]
    depths: dict[tuple[str, int], NDArray[np.uint16]]
    pairs: set[tuple[str, int, int]]

    @property
    def dataset(self) -> Dataset:
        return Dataset(str(self.root))


def frame_sample(frame: int, depth: NDArray[np.uint16], image: NDArray[np.uint8]) -> FrameSample:
    # Every camera looks straight at the same wall, a little further to the right each time.
    pose = np.eye(4)
    pose[0, 3] = 0.001 * frame
    camera = Camera(WIDTH, HEIGHT, 40.0, 40.0, 23.5, 15.5)
    box = np.array([[-1.0, -1.0, 0.0], [1.0, 1.0, 2.0]])
    points = int(np.count_nonzero(depth))
    color = encode_jpeg(image)
    depth_part = StoredDepth(encode_depth_png(depth), camera, pose, 1e-3)
    return FrameSample(
        frame, frame * 33_000, color, schema.COLOR_JPEG, camera, pose, depth_part, points, box
    )  # fmt: skip


def all_pairs(frames: Sequence[int]) -> PairRows:
    ends = np.array(list(combinations(frames, 2)), dtype=np.int64).reshape(-1, 2)
    size = np.full(ends.shape, WIDTH * HEIGHT, dtype=np.int64)
    return PairRows(ends, size, size // 2, np.full(len(ends), 0.5))


def scene_bundle(
    scene: str, frames: Sequence[int], seed: int, voxel_order: int = 1
) -> tuple[Bundle, dict[int, Any], dict[int, Any]]:
    random = np.random.default_rng(seed)
    images = {f: random.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8) for f in frames}
    depths = {f: np.full((HEIGHT, WIDTH), 1000 + f // 25, dtype=np.uint16) for f in frames}
    samples = [frame_sample(f, depths[f], images[f]) for f in frames]
    voxels = np.unique(random.integers(-50, 50, (20, 3)), axis=0)[::voxel_order].astype(np.int32)
    geometry = Geometry(voxels, random.integers(0, 256, voxels.shape).astype(np.uint8), 0.02)
    return make_bundle(scene, "made-up", samples, all_pairs(frames), geometry), images, depths


def write_dataset(
    root: Path, scenes: int = 4, frames: int = 6, scenes_a_shard: int = 2, voxel_order: int = 1
) -> Written:
    store = Store(str(root))
    records, written = {}, Written(root, {}, {}, set())
    for number in range(scenes):
        scene = f"scene{number:04d}_00"
        numbers = [25 * i for i in range(frames)]
        bundle, images, depths = scene_bundle(scene, numbers, number, voxel_order)
        record = SceneRecord(
            scene,
            f"mark{number}",
            len(bundle.data),
            bundle.sha256,
            bundle.scene_row,
            bundle.frame_rows,
            bundle.pair_rows,
        )
        store.write(record.scratch_file, [bundle.data])
        records[scene] = record
        written.images.update({(scene, f): image for f, image in images.items()})
        written.depths.update({(scene, f): depth for f, depth in depths.items()})
        written.pairs.update((scene, a, b) for a, b in combinations(numbers, 2))
    parts = [list(records.values())[i : i + scenes_a_shard] for i in range(0, scenes, scenes_a_shard)]
    shards = [write_shard(str(root), part, [Place(r.scratch_file, 0) for r in part]) for part in parts]
    totals = {
        "scenes": scenes,
        "frames": scenes * frames,
        "pairs": len(written.pairs),
        "shards": len(shards),
        "failures": 0,
        "bytes": sum(shard.bytes for shard in shards),
    }
    about = {"format_version": schema.VERSION, "dataset": "made-up", "parameters": {}, "totals": totals}
    publish(store, records, shards, [False] * len(shards), [], about)
    return written


@pytest.fixture
def unsorted(tmp_path: Path) -> Written:
    """Written by a program that ignores the order of voxels."""
    return write_dataset(tmp_path / "unsorted", voxel_order=-1)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return write_dataset(tmp_path / "out")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The same, for tests that change nothing."""
    return write_dataset(tmp_path_factory.mktemp("kept") / "out")
