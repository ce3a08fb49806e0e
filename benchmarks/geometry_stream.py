"""What geometry costs the stream for a frame: cropping its chunk and drawing its pixel–voxel matches.

The peers do the same with what everybody has: a NumPy mask for the crop, a k-d tree of SciPy on the chunk's
voxel centres for the matches. One process, one core.
"""

from __future__ import annotations

import measure

# isort: split
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from pair_streaming import build_shards
from scipy.spatial import KDTree

from pri3d_data.chunk import crop_chunk
from pri3d_data.voxel_matches import sample_projected_voxels, sample_voxel_matches
from shards.frame_cache import FrameCache, OpenShards
from shards.frames import StoredFrame
from shards.geometry_cache import GeometryCache
from shards.pair import VOXEL_TOLERANCE_M
from shards.pair_index import PairIndex
from shards.parts import Geometry

COLUMNS = {"what": "", "ms_per_frame": "ms / frame", "spread": "spread", "ratio": "ours is faster by"}
_PEERS = {"numpy": "crop", "scipy": "paper"}


def masked(surface: Geometry, frame: StoredFrame) -> Any:
    """The crop as a NumPy mask."""
    centers = (surface.voxels + 0.5) * surface.voxel_m
    inside = ((centers >= frame.chunk_box_m[0]) & (centers <= frame.chunk_box_m[1])).all(axis=1)
    return surface.voxels[inside], surface.colors[inside]


def nearest_by_tree(voxels: Any, voxel_m: float, frame: StoredFrame, matches: int) -> Any:
    """Distances of as many random pixels' points to their nearest voxel centres, by a k-d tree."""
    view = frame.view
    rows, columns = np.nonzero(view.depth)
    some = np.random.default_rng(0).choice(len(rows), min(matches, len(rows)), replace=False)
    rows, columns = rows[some], columns[some]
    fx, fy, cx, cy = view.depth_camera
    z = view.depth[rows, columns] * view.depth_unit
    points = np.stack([(columns - cx) / fx * z, (rows - cy) / fy * z, z], axis=1)
    world = points @ view.depth_to_world[:3, :3].T + view.depth_to_world[:3, 3]
    return KDTree((voxels + 0.5) * voxel_m).query(world, distance_upper_bound=voxel_m)


@click.command()
@measure.options
@click.option("--image-size", default="240x320", show_default=True, help="Size of stored images, HxW.")
@click.option("--matches", default=1024, show_default=True, help="Most matches a frame carries.")
def main(
    json_file: Path | None,
    repeats: int,
    data: str | None,
    stride: int | None,
    markdown: bool,
    image_size: str,
    matches: int,
) -> None:
    """Milliseconds a frame for its chunk and its pixel–voxel matches."""
    measure.one_core()
    with tempfile.TemporaryDirectory() as scratch:
        found = measure.captures(data, stride, Path(scratch))
        index = PairIndex([build_shards(found, Path(scratch) / "built", image_size)])
        surface = GeometryCache(index, 1 << 30, OpenShards(index.shards)).get(0)
        cache = FrameCache(index, 1 << 40)
        frames = [cache.get(int(row)) for row in np.flatnonzero(index.frames.scene == 0)]
    if surface is None:
        raise click.ClickException(f"{found.name} has no geometry.")
    crops = [crop_chunk(surface.voxels, surface.colors, surface.voxel_m, f.chunk_box_m)[0] for f in frames]

    def over(work: Callable[[StoredFrame, Any], object]) -> Callable[[], None]:
        def every_frame() -> None:
            for frame, voxels in zip(frames, crops, strict=True):
                work(frame, voxels)

        every_frame()
        return every_frame

    edge = surface.voxel_m
    names = {
        "crop": "crop, ours",
        "numpy": "crop, NumPy mask",
        "paper": "paper's matches, ours",
        "scipy": "paper's rule, SciPy k-d tree",
        "reference": "authors' matches, ours",
    }
    sides = {
        "crop": over(lambda f, _: crop_chunk(surface.voxels, surface.colors, edge, f.chunk_box_m)),
        "numpy": over(lambda f, _: masked(surface, f)),
        "paper": over(lambda f, v: sample_voxel_matches(f.view, v, edge, edge, matches, 0)),
        "scipy": over(lambda f, v: nearest_by_tree(v, edge, f, matches)),
        "reference": over(
            lambda f, v: sample_projected_voxels(f.view, v, edge, VOXEL_TOLERANCE_M, matches, 0)
        ),
    }
    seconds = measure.interleaved(sides, repeats)
    report = measure.Report(
        "geometry_stream",
        {
            "data": found.name,
            "frames": len(frames),
            "scene_voxels": len(surface.voxels),
            "chunk_voxels": int(np.median([len(voxels) for voxels in crops])),
            "image_size": image_size,
            "matches": matches,
            "repeats": repeats,
        },
        COLUMNS,
        notes=["The k-d tree is asked for as many pixels as ours must match, so it finds fewer matches."],
    )
    for name, label in names.items():
        row: dict[str, Any] = {
            "what": label,
            "ms_per_frame": 1e3 * measure.median(seconds[name]) / len(frames),
            "spread": f"{100 * measure.spread(seconds[name]):.1f} %",
        }
        if name in _PEERS:
            row["ratio"] = measure.median(seconds[name]) / measure.median(seconds[_PEERS[name]])
            report.figures[f"ratio_{name}"] = row["ratio"]
        report.figures[f"{name}_ms_per_frame"] = row["ms_per_frame"]
        report.rows.append(row)
    report.publish(json_file, markdown)


if __name__ == "__main__":
    main()
