"""Covisible pairs of a large photo collection: overlap, scale ratio and angle of pairs that share points.

The peers: sets and dictionaries in Python, pair by pair, as D2-Net's scripts do it, on the first few images;
and SciPy's sparse matrix product on all of them, which gives the counts of shared points and no scale ratio.
"""

from __future__ import annotations

import measure

# isort: split
import resource
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pri3d_data.covisibility import Thresholds, covisible_pairs

COLUMNS = {
    "what": "",
    "images": "images",
    "seconds": "seconds",
    "spread": "spread",
    "ratio": "ours is faster by",
}
EVERY = Thresholds(0.0)


class Collection:
    """Images along a street, each seeing what is near and some of a few sights that everybody photographs."""

    def __init__(self, images: int, seen: int) -> None:
        random = np.random.default_rng(0)
        points = images * seen // 20
        rows = []
        for image in range(images):
            near = random.normal(image / images * points, 0.0025 * points, seen).astype(np.int64) % points
            sights = (points * random.random(seen // 6) ** 8).astype(np.int64)
            rows.append(np.unique(np.concatenate([near, sights])))
        self.starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        self.points = np.concatenate(rows)
        self.depth = random.uniform(1.0, 3.0, len(self.points))
        axes = random.normal(size=(images, 3))
        self.axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)

    def first(self, images: int) -> tuple[NDArray[Any], ...]:
        """Arguments of the kernel for the first so many images."""
        end = self.starts[images]
        return self.starts[: images + 1], self.points[:end], self.depth[:end], self.axes[:images]


def by_sets(
    starts: NDArray[Any], points: NDArray[Any], depth: NDArray[Any], axes: NDArray[Any]
) -> dict[tuple[int, int], tuple[int, float, float]]:
    """The same, one pair after the other."""
    near = [
        dict(zip(points[a:b].tolist(), depth[a:b].tolist(), strict=True))
        for a, b in pairwise(starts.tolist())
    ]
    seen = [set(row) for row in near]
    found = {}
    for a in range(len(seen)):
        for b in range(a + 1, len(seen)):
            shared = seen[a] & seen[b]
            if shared:
                ratios = (near[a][point] / near[b][point] for point in shared)
                scale = min(max(ratio, 1.0 / ratio) for ratio in ratios)
                angle = np.degrees(np.arccos(np.clip(axes[a] @ axes[b], -1.0, 1.0)))
                found[a, b] = (len(shared), scale, float(angle))
    return found


def by_product(starts: NDArray[Any], points: NDArray[Any], depth: NDArray[Any], axes: NDArray[Any]) -> Any:
    """Counts of shared points alone, by a sparse matrix product."""
    ones = np.ones(len(points), np.int32)
    seen = csr_matrix((ones, points, starts), shape=(len(starts) - 1, int(points.max()) + 1))
    return seen @ seen.T


@click.command()
@measure.options
@click.option("--images", default=3000, show_default=True, help="Photos of the made-up collection.")
@click.option("--seen", default=2400, show_default=True, help="Points near an image that it sees.")
@click.option("--set-images", default=100, show_default=True, help="Photos that Python's sets are timed on.")
def main(
    json_file: Path | None,
    repeats: int,
    data: str | None,
    stride: int | None,
    markdown: bool,
    images: int,
    seen: int,
    set_images: int,
) -> None:
    """Seconds for all pairs of a photo collection that is made here; --data and --stride play no part."""
    measure.one_core()
    collection = Collection(images, seen)
    whole, few = collection.first(images), collection.first(min(set_images, images))
    found = covisible_pairs(*few, EVERY)
    truth = by_sets(*few)
    ends = [tuple(row) for row in found.images.tolist()]
    agrees = ends == sorted(truth) and found.shared.tolist() == [truth[pair][0] for pair in ends]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = covisible_pairs(*whole, Thresholds())
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    seconds = measure.interleaved(
        {
            "ours": lambda: covisible_pairs(*whole, Thresholds()),
            "scipy": lambda: by_product(*whole),
            "ours_few": lambda: covisible_pairs(*few, EVERY),
            "python_sets": lambda: by_sets(*few),
        },
        repeats,
    )
    report = measure.Report(
        "covisibility",
        {
            "images": images,
            "observations": len(collection.points),
            "pairs_kept": len(kept.shared),
            "repeats": repeats,
        },
        COLUMNS,
        figures={
            "ours_seconds": measure.median(seconds["ours"]),
            "memory_added_mb": grown_mb,
            "agrees": agrees,
        },
        notes=[
            f"Ours took {grown_mb:.0f} MB beside its arguments for all {images} images.",
            f"On {set_images} images ours and the sets {'agree' if agrees else 'DIFFER'} on every pair.",
            "SciPy's product gives counts alone, of every pair that shares a point.",
        ],
    )
    for name, label, of, base in (
        ("ours", "ours", images, "ours"),
        ("scipy", "SciPy sparse product", images, "ours"),
        ("ours_few", "ours, fewer images", set_images, "ours_few"),
        ("python_sets", "Python sets", set_images, "ours_few"),
    ):
        ratio = measure.median(seconds[name]) / measure.median(seconds[base])
        report.rows.append(
            {
                "what": label,
                "images": of,
                "seconds": measure.median(seconds[name]),
                "spread": f"{100 * measure.spread(seconds[name]):.1f} %",
                "ratio": ratio,
            }
        )
        if not name.startswith("ours"):
            report.figures[f"ratio_{name}"] = ratio
    report.publish(json_file, markdown)


if __name__ == "__main__":
    main()
