"""Overlap of all pairs of frames of a scene: `match_counts` against nearest-neighbour trees.

Ours counts the whole scene. The peers would take many minutes, so they are timed on a seeded random sample of
ordered pairs, on the same points: one tree a frame, one nearest-neighbour query a pair. Their time for the
whole scene is frames · mean seconds to build a tree + ordered pairs · mean seconds a query.
"""

from __future__ import annotations

import measure

# isort: split
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from pri3d_data.backproject import backproject
from pri3d_data.overlap import match_counts

RADIUS_M = 0.02

Counter = Callable[[NDArray[np.float32]], int]
Build = Callable[[NDArray[np.float32]], Counter]


@dataclass
class Peer:
    """A nearest-neighbour library and what it needed.

    Attributes:
        label: its line of the table.
        build: makes a frame's tree; the result counts how many query points have a point within the radius.
        tree_seconds, query_seconds: one list a repeat, one figure a tree, a sampled pair.
        counts: of the sampled pairs.
    """

    label: str
    build: Build
    tree_seconds: list[list[float]] = field(default_factory=list)
    query_seconds: list[list[float]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def run(self, clouds: Sequence[NDArray[np.float32]], pairs: Sequence[tuple[int, int]]) -> None:
        """Count the pairs (points of the first that have a point of the second near), timing every step."""
        trees: dict[int, Counter] = {}
        building, querying, self.counts = [], [], []
        for b in sorted({b for _, b in pairs}):
            start = time.perf_counter()
            trees[b] = self.build(clouds[b])
            building.append(time.perf_counter() - start)
        for a, b in pairs:
            start = time.perf_counter()
            self.counts.append(trees[b](clouds[a]))
            querying.append(time.perf_counter() - start)
        self.tree_seconds.append(building)
        self.query_seconds.append(querying)

    def scene_seconds(self, frames: int) -> list[float]:
        """Seconds for all ordered pairs of the scene, extrapolated from each repeat."""
        return [
            frames * float(np.mean(trees)) + frames * (frames - 1) * float(np.mean(queries))
            for trees, queries in zip(self.tree_seconds, self.query_seconds, strict=True)
        ]

    def standard_error(self) -> float:
        """Of the mean query, as a share of it: what another sample of pairs might change."""
        queries = np.median(np.array(self.query_seconds), axis=0)
        if len(queries) < 2:
            return 0.0
        return float(queries.std(ddof=1) / np.sqrt(len(queries)) / queries.mean())


def scipy_tree(points: NDArray[np.float32]) -> Counter:
    """A cKDTree of scipy, float64, nearest point only."""
    from scipy.spatial import cKDTree

    tree = cKDTree(points.astype(np.float64))
    # A distance equal to the bound is not found, one equal to the radius counts.
    bound = np.nextafter(RADIUS_M, 1.0)

    def count(queries: NDArray[np.float32]) -> int:
        distance, _ = tree.query(queries.astype(np.float64), k=1, distance_upper_bound=bound, workers=1)
        return int(np.isfinite(distance).sum())

    return count


def pykdtree_tree(points: NDArray[np.float32], kind: type[np.floating[Any]]) -> Counter:
    """A KDTree of pykdtree in float32 or float64."""
    from pykdtree.kdtree import KDTree

    tree = KDTree(points.astype(kind))
    bound = float(np.nextafter(kind(RADIUS_M), kind(1.0)))

    def count(queries: NDArray[np.float32]) -> int:
        distance, _ = tree.query(queries.astype(kind), k=1, distance_upper_bound=bound)
        return int(np.isfinite(distance).sum())

    return count


def open3d_tree(points: NDArray[np.float32]) -> Counter:
    """Open3D's hybrid search: within the radius, at most one neighbour."""
    from open3d import core

    tree = core.nns.NearestNeighborSearch(core.Tensor(points))
    tree.hybrid_index(RADIUS_M)

    def count(queries: NDArray[np.float32]) -> int:
        return int(tree.hybrid_search(core.Tensor(queries), RADIUS_M, 1)[2].numpy().sum())

    return count


def voxel_hash_table(points: NDArray[np.float32]) -> Counter:
    """A plain hash of voxels, one frame against one frame, compiled with numba."""
    from voxel_hash import build_table, count_within

    starts, _, placed = build_table(points, RADIUS_M)

    def count(queries: NDArray[np.float32]) -> int:
        return count_within(starts, placed, queries, RADIUS_M)

    return count


PEERS: dict[str, tuple[str, Build]] = {
    "scipy": ("scipy cKDTree", scipy_tree),
    "pykdtree_float32": ("pykdtree, float32", lambda points: pykdtree_tree(points, np.float32)),
    "pykdtree_float64": ("pykdtree, float64", lambda points: pykdtree_tree(points, np.float64)),
    "voxel_hash": ("numba voxel hash, pair by pair", voxel_hash_table),
    "open3d": ("Open3D hybrid search", open3d_tree),
}

COLUMNS = {
    "what": "",
    "seconds": "whole scene, s",
    "spread": "spread",
    "ms_per_ordered_pair": "ms / ordered pair",
    "ratio": "ours is faster by",
    "standard_error": "sampling error",
    "pairs_equal": "pairs of equal count",
    "largest_difference": "largest difference",
}


def load_clouds(found: measure.Captures, frames: int | None) -> list[NDArray[np.float32]]:
    """World points of each frame as a build counts on them."""
    clouds = []
    with found.open() as capture:
        origin = np.round(capture.frames[0].camera_to_world[:3, 3])
        for frame in capture.frames[:frames]:
            assert frame.depth_camera is not None
            assert frame.depth_to_world is not None
            camera = frame.depth_camera.vector
            depth = capture.depth(frame)
            clouds.append(backproject(depth, capture.depth_unit_m, camera, frame.depth_to_world, origin))
    return clouds


def procedural_room(scratch: Path, frames: int) -> str:
    """A made-up capture, 640×480 with a sensor's noise and holes, a frame every 25/30 s; its folder."""
    from pri3d_data.synth.scannet import ScanNetSynth, write_scannet

    spec = ScanNetSynth(
        frames=frames,
        color_size=(160, 120),
        depth_size=(640, 480),
        pose_stride=25,
        noise=True,
        holes=True,
        labels=False,
    )
    write_scannet(scratch / "procedural_room", scenes=1, seed=0, spec=spec)
    return str(scratch / "procedural_room")


def usable_peers() -> tuple[dict[str, Peer], dict[str, str]]:
    """Peers that can be imported and count right on two points, and why the others cannot."""
    peers, skipped = {}, {}
    points = np.zeros((2, 3), dtype=np.float32)
    for name, (label, build) in PEERS.items():
        try:
            if build(points)(points) != 2:
                raise RuntimeError("it finds no point where one is")
        except Exception as error:
            skipped[name] = f"{type(error).__name__}: {error}"
        else:
            peers[name] = Peer(label, build)
    return peers, skipped


@click.command()
@measure.options
@click.option("--pairs", default=60, show_default=True, help="Ordered pairs the peers are timed on.")
@click.option("--frames", type=int, help="Use the first frames only.")
@click.option("--procedural", type=int, help="Make a room of so many frames instead of reading a real one.")
@click.option("--seed", default=0, show_default=True, help="Chooses the ordered pairs.")
def main(
    json_file: Path | None,
    repeats: int,
    data: str | None,
    stride: int | None,
    markdown: bool,
    pairs: int,
    frames: int | None,
    procedural: int | None,
    seed: int,
) -> None:
    """Exact overlap counts of all ordered pairs, against scipy, pykdtree, Open3D and a voxel hash."""
    measure.one_core()
    with tempfile.TemporaryDirectory() as scratch:
        if procedural is not None:
            data, stride = procedural_room(Path(scratch), procedural), 1
        found = measure.captures(data, stride, Path(scratch))
        clouds = load_clouds(found, frames)
    points = np.concatenate(clouds)
    starts = np.concatenate([[0], np.cumsum([len(cloud) for cloud in clouds])]).astype(np.int64)
    count = len(clouds)
    ordered = count * (count - 1)
    everything = [(a, b) for a in range(count) for b in range(count) if a != b]
    chosen = np.random.default_rng(seed).permutation(ordered)[:pairs]
    sample = [everything[i] for i in sorted(chosen)]

    peers, skipped = usable_peers()
    match_counts(points[: starts[1]], starts[:2], RADIUS_M)  # compiles
    result: dict[str, NDArray[np.int64]] = {}

    def ours() -> None:
        result["counts"] = match_counts(points, starts, RADIUS_M)

    sides: dict[str, Callable[[], object]] = {"ours": ours}
    sides |= {name: partial(peer.run, clouds, sample) for name, peer in peers.items()}
    seconds = measure.interleaved(sides, repeats)["ours"]

    expected = [int(result["counts"][a, b]) for a, b in sample]
    own = measure.median(seconds)
    report = measure.Report(
        "overlap",
        {
            "data": found.name,
            "stride": found.stride,
            "frames": count,
            "points": len(points),
            "ordered_pairs": ordered,
            "pairs_sampled": len(sample),
            "radius_m": RADIUS_M,
            "repeats": repeats,
        },
        COLUMNS,
        figures={"ours_seconds": own, "peers": {}, "skipped": skipped},
    )
    report.rows.append(
        {
            "what": "match_counts, timed whole",
            "seconds": own,
            "spread": _percent(measure.spread(seconds)),
            "ms_per_ordered_pair": 1000 * own / ordered,
            "ratio": 1.0,
        }
    )
    for name, peer in peers.items():
        each = peer.scene_seconds(count)
        whole = measure.median(each)
        equal = sum(mine == theirs for mine, theirs in zip(expected, peer.counts, strict=True))
        difference = max(
            abs(mine - theirs) / max(mine, theirs, 1)
            for mine, theirs in zip(expected, peer.counts, strict=True)
        )
        ratio = whole / own
        report.figures[f"ratio_{name}"] = ratio
        report.figures["peers"][name] = {
            "seconds": whole,
            "tree_seconds": float(np.mean(peer.tree_seconds)),
            "query_seconds": float(np.mean(peer.query_seconds)),
            "standard_error": peer.standard_error(),
            "pairs_equal": equal,
            "largest_difference": difference,
        }
        report.rows.append(
            {
                "what": f"{peer.label}, extrapolated",
                "seconds": whole,
                "spread": _percent(measure.spread(each)),
                "ms_per_ordered_pair": 1000 * whole / ordered,
                "ratio": ratio,
                "standard_error": f"±{_percent(peer.standard_error())}",
                "pairs_equal": f"{equal} of {len(sample)}",
                "largest_difference": difference,
            }
        )
    pykdtree = [value for key, value in report.figures.items() if key.startswith("ratio_pykdtree")]
    if pykdtree:
        report.figures["ratio_pykdtree"] = min(pykdtree)
        report.notes.append("ratio_pykdtree is against whichever of its two types is faster here.")
    report.notes.append(
        f"Peers are timed on {len(sample)} of {ordered:,} ordered pairs drawn at random; a tree a frame is "
        "built once and its time counted as over all pairs."
    )
    report.notes += [f"{PEERS[name][0]} left out: {reason}" for name, reason in skipped.items()]
    report.publish(json_file, markdown)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()
