"""Made-up photo collections, what a build makes of them, and what it truly should."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq

from pipelines.build import BuildSummary, build
from pipelines.parameters import BuildParameters
from pipelines.plan import BuildRequest
from pipelines.registry import DATASETS
from pri3d_data.colmap.library import colmap
from pri3d_data.synth.megadepth import (
    SEED_KIND,
    MegaDepthSynth,
    MegaDepthTruth,
    megadepth_truth,
)
from pri3d_data.synth.rays import trace_rays
from pri3d_data.synth.request import scene_seed
from shards.frame_cache import FrameCache
from shards.frames import StoredFrame
from shards.pair_index import PairIndex
from shards.pair_matches import find_matches

SPEC = MegaDepthSynth(photos=10, largest_side=220, dense_side=160, points=1500, grey_every=4, mask_every=5)
SEED = 3
WINDOW = 9


class Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def built(
    name: str, raw: Path, out: Path, workers: int = 0, preset: str = "paper", **changes: Any
) -> BuildSummary:
    dataset = DATASETS[name]
    parameters = BuildParameters(replace(dataset.presets[preset], **changes))
    return build(BuildRequest(dataset, str(raw), str(out), parameters), workers, None, Silent())


def as_colmap(collections: Path, root: Path, scene: str = "0000") -> Path:
    source = collections / "MegaDepth_v1_SfM" / scene
    shutil.copytree(source / "images", root / scene / "images")
    shutil.copytree(source / "sparse" / "manhattan" / "0", root / scene / "sparse" / "0")
    return root / scene


def table(out: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(out / "tables" / f"{name}.parquet").to_pylist()


def truth_of(scene: str) -> MegaDepthTruth:
    return megadepth_truth(SPEC, scene_seed(SEED, int(scene), SEED_KIND))


def pairs_of(out: Path, scene: str) -> Iterator[tuple[StoredFrame, StoredFrame, np.ndarray]]:
    """Both frames of every pair with all their matches."""
    index = PairIndex([str(out)], lambda name: name == scene)
    cache = FrameCache(index, 1 << 30)
    rule = index.scene_rule[index.scene_names.index(scene)]
    for a, b, row in zip(index.pairs.a, index.pairs.b, index.pairs.row, strict=True):
        first, second = cache.get(int(a)), cache.get(int(b))
        yield first, second, find_matches(first, second, rule, int(row), 1 << 24, 0)


class Sight:
    """What a stored photo truly sees: the undistorted camera in the room, in metres."""

    def __init__(self, truth: MegaDepthTruth, frame: StoredFrame) -> None:
        self.arrays = truth.room.arrays
        self.camera = truth.undistorted[frame.frame]
        self.pose = truth.camera_to_world_m[frame.frame]

    def points(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points of pixels, and whether they are sky."""
        rays = (pixels - self.camera.vector[2:]) / self.camera.vector[:2]
        _, points, surface, _ = trace_rays(self.arrays, rays, self.pose)
        return points, self.arrays.semantic[surface] == WINDOW

    def sees(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where points fall, and whether nothing stands before them."""
        local = (points - self.pose[:3, 3]) @ self.pose[:3, :3]
        ahead = local[:, 2] > 1e-6
        rays = local[:, :2] / np.where(ahead, local[:, 2], 1.0)[:, None]
        first = trace_rays(self.arrays, rays, self.pose)[0]
        return rays * self.camera.vector[:2] + self.camera.vector[2:], ahead & (local[:, 2] < first * 1.001)


def true_and_possible(
    truth: MegaDepthTruth, a: StoredFrame, b: StoredFrame, matches: np.ndarray
) -> tuple[int, int, int]:
    """Matches that are right to 1.5 pixels, pixels of a that b truly sees, and how many of those matched."""
    sight_a, sight_b = Sight(truth, a), Sight(truth, b)
    points, _ = sight_a.points(matches[:, :2].astype(np.float64))
    there, visible = sight_b.sees(points)
    right = visible & (np.abs(there - matches[:, 2:]).max(axis=1, initial=0.0) <= 1.5)
    height, width = a.image.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)
    points, sky = sight_a.points(pixels.astype(np.float64))
    there, visible = sight_b.sees(points)
    inside = (there >= -0.5) & (there < [b.view.width - 0.5, b.view.height - 0.5])
    possible = visible & inside.all(axis=1) & ~sky
    found = np.zeros(len(pixels), np.bool_)
    found[matches[:, 1].astype(int) * width + matches[:, 0]] = True
    return int(right.sum()), int(possible.sum()), int((found & possible).sum())


def precision_and_recall(out: Path, scenes: tuple[str, ...]) -> tuple[float, float]:
    counts = np.zeros(4)
    for scene in scenes:
        truth = truth_of(scene)
        for a, b, matches in pairs_of(out, scene):
            right, possible, found = true_and_possible(truth, a, b, matches)
            counts += [len(matches), right, possible, found]
    return counts[1] / counts[0], counts[3] / counts[2]


def seen_in(model: Any, name: str) -> set[int]:
    """Numbers of the points a photo sees, as COLMAP itself reads them."""
    return {point.point3D_id for point in model.find_image_with_name(name).points2D if point.has_point3D()}


def as_dense_workspace(collections: Path, root: Path, shrink: int = 1) -> None:
    """What COLMAP's own undistortion and stereo leave: pinhole photos, model, depth maps."""
    source = collections / "MegaDepth_v1_SfM" / "0000"
    colmap().undistort_images(
        output_path=str(root),
        input_path=str(source / "sparse" / "manhattan" / "0"),
        image_path=str(source / "images"),
        undistort_options={"max_image_size": SPEC.dense_side},
    )
    truth = truth_of("0000")
    for number, name in enumerate(truth.names):
        if truth.masked[number]:
            continue
        with h5py.File(collections / f"MegaDepth_v1/0000/dense0/depths/{Path(name).stem}.h5") as h5:
            depth = np.maximum(h5["depth"][()], np.float32(1e-3))[::shrink, ::shrink]
        data = f"{depth.shape[1]}&{depth.shape[0]}&1&".encode() + depth.astype("<f4").tobytes()
        (root / "stereo" / "depth_maps" / f"{name}.geometric.bin").write_bytes(data)
