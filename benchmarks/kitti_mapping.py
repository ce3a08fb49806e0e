"""Matches and overlap of driving frames: right against the truth, what overlap says of poses, and speed.

Truth comes from a made-up drive (`pri3d-data synth kitti`): rays from a camera to the other frame's scan
points say which of them it sees. The peer of the speed figure does the authors' mapping with whole-array
numpy, a pair at a time with all depth in memory: their script, but for reading the poses for each pair.
"""

from __future__ import annotations

import measure

# isort: split
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from pipelines.kitti_mapping import view_of
from pipelines.kitti_parameters import KITTI_PRESETS, KittiParameters
from pri3d_data.kitti.drive import DEPTH_UNIT_M
from pri3d_data.kitti.scenes import find_scenes, open_drive
from pri3d_data.kitti.velodyne import spacing_px
from pri3d_data.lidar_projection import project_scan, without_hidden
from pri3d_data.mapping import SparseView, common_share, seen_in
from pri3d_data.synth.kitti import KittiSynth, KittiTruth, kitti_truth, write_kitti_drive
from pri3d_data.synth.laser import scan_street
from pri3d_data.synth.rays import in_view

COLUMNS = {
    "drive": "drive",
    "gap": "frames apart",
    "true": "true poses",
    "standing": "standing",
    "reversing": "reversing",
    "ground_true": "with ground: true",
    "ground_standing": "standing",
    "precision": "precision",
    "recall": "recall",
    "ground_precision": "precision, ground",
    "ground_recall": "recall, ground",
}
PAPER, REFERENCE = KITTI_PRESETS["paper"], KITTI_PRESETS["reference"]
_GAPS = (1, 2, 4, 7, 10, 20, 30)
_TRIED_GAP, _TRIED_M = 7, (0.1, 0.2, 0.5, 1.0)
_SEED = 0
_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

Views = dict[int, SparseView]


@click.command(help=__doc__)
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
@click.option(
    "--frames", type=click.IntRange(min=3), default=40, show_default=True, help="Of the made-up drive."
)
@click.option(
    "--azimuths", type=click.IntRange(min=100), default=2000, show_default=True, help="Points a beam."
)
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--data", type=click.Path(exists=True, file_okay=False), help="A KITTI folder besides.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures here."
)
def main(
    markdown: bool, frames: int, azimuths: int, repeats: int, data: str | None, json_file: Path | None
) -> None:
    measure.one_core()
    spec = KittiSynth(frames=frames, azimuths=azimuths)
    report = measure.Report("kitti_mapping", {"frames": frames, "azimuths": azimuths}, COLUMNS)
    truth = kitti_truth(spec, _SEED)
    with tempfile.TemporaryDirectory() as scratch:
        write_kitti_drive(Path(scratch), 1, spec, _SEED)
        views = _views(scratch, PAPER)
        seen_points = _hidden(report, truth, spec)
        for row in _rows("made-up", views):
            report.rows.append(row | _against_truth(truth, views, seen_points, row["gap"]))
        gap = max(row["gap"] for row in report.rows if row["gap"] <= _TRIED_GAP)
        right = [_against_truth(truth, views, seen_points, gap, tolerance) for tolerance in _TRIED_M]
        _speed(report, _views(scratch, REFERENCE), views, repeats)
    real = data or os.environ.get("PRI3D_SHARED_DATA", str(_SHARED)) + "/kitti_raw"
    if Path(real).is_dir():
        views = _views(real, PAPER)
        report.rows += _rows("real", views)
    else:
        report.notes.append("No real drive was found; --data names one.")
    for tolerance, found in zip(_TRIED_M, right, strict=True):
        shares = [_share(views[a], views[a + gap], tolerance) for a in views if a + gap in views]
        report.notes.append(
            f"{gap} frames apart, within {tolerance} m: precision {found['precision']:.3f}, recall "
            f"{found['recall']:.3f}, mean overlap of the table's last drive {np.mean(shares):.3f}."
        )
    report.publish(json_file, markdown)


def _views(root: str, parameters: KittiParameters) -> Views:
    with open_drive(find_scenes(root)[0]) as capture:
        return {frame.index: view_of(frame, capture.depth(frame), parameters) for frame in capture.frames}


def _rows(drive: str, views: Views) -> Iterable[dict[str, object]]:
    """Mean overlap by distance in time: true poses, one pose for both frames, and the way turned round."""
    whole = {n: view._replace(counted=np.ones_like(view.counted)) for n, view in views.items()}
    for gap in _GAPS:
        pairs = [(n, n + gap) for n in views if n + gap in views]
        if not pairs:
            continue
        without = np.mean([_shares(views[a], views[b]) for a, b in pairs], axis=0)
        including = np.mean([_shares(whole[a], whole[b]) for a, b in pairs], axis=0)
        yield {
            "drive": drive,
            "gap": gap,
            "true": without[0],
            "standing": without[1],
            "reversing": without[2],
            "ground_true": including[0],
            "ground_standing": including[1],
        }


def _shares(a: SparseView, b: SparseView) -> tuple[float, float, float]:
    back = a.camera_to_world @ np.linalg.inv(b.camera_to_world) @ a.camera_to_world
    poses = (b.camera_to_world, a.camera_to_world, back)
    true, standing, reversing = (_share(a, b._replace(camera_to_world=pose)) for pose in poses)
    return true, standing, reversing


def _share(a: SparseView, b: SparseView, tolerance_m: float = PAPER.match_tolerance_m) -> float:
    a_in_b, b_in_a = (seen_in(*pair, tolerance_m, False) for pair in ((a, b), (b, a)))
    matched = int((a_in_b & a.counted).sum()), int((b_in_a & b.counted).sum())
    return common_share(*matched, int(a.counted.sum()), int(b.counted.sum()))


def _hidden(report: measure.Report, truth: KittiTruth, spec: KittiSynth) -> dict[int, NDArray[np.float64]]:
    """The scan points that were kept, by frame, in the order of the frame's measured pixels."""
    camera, points = truth.camera, {}
    counts = np.zeros((2, 2), np.int64)
    for frame in range(spec.frames):
        scan = scan_street(truth.street.arrays, truth.lidar_to_world[frame], spec.azimuths)
        depth = project_scan(
            scan, truth.lidar_to_camera, camera.vector, camera.width, camera.height, DEPTH_UNIT_M
        )
        kept = without_hidden(depth, *spacing_px(camera))[depth > 0] > 0
        world = _winners(truth, scan, frame)
        seen = in_view(truth.street.arrays, truth.camera_to_world[frame][:3, 3], world)
        np.add.at(counts, (seen.astype(int), kept.astype(int)), 1)
        points[frame] = world[kept]
    report.figures["hidden_points_removed"] = counts[0, 0] / max(1, counts[0].sum())
    report.figures["seen_points_removed"] = counts[1, 0] / counts[1].sum()
    report.figures["hidden_share_before"] = counts[0].sum() / counts.sum()
    report.figures["hidden_share_after"] = counts[0, 1] / counts[:, 1].sum()
    return points


def _winners(truth: KittiTruth, scan: NDArray[np.float32], frame: int) -> NDArray[np.float64]:
    """World points of a scan that are the nearest on their pixel, row by row."""
    camera, m = truth.camera, truth.lidar_to_camera
    lidar = scan[:, :3].astype(np.float64)
    local = lidar @ m[:3, :3].T + m[:3, 3]
    ahead = local[:, 2] > 0.01
    local, lidar = local[ahead], lidar[ahead]
    column, row = (
        np.floor(local[:, :2] / local[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy] + 0.5)
    ).T
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    order = np.flatnonzero(inside)[np.argsort(local[inside, 2], kind="stable")]
    _, first = np.unique(row[order] * camera.width + column[order], return_index=True)
    to_world = truth.lidar_to_world[frame]
    return lidar[order[first]] @ to_world[:3, :3].T + to_world[:3, 3]


def _against_truth(
    truth: KittiTruth,
    views: Views,
    points: dict[int, NDArray[np.float64]],
    gap: int,
    tolerance_m: float = PAPER.match_tolerance_m,
) -> dict[str, float]:
    camera = truth.camera
    counts = np.zeros((2, 3), np.int64)
    for a in [n for n in views if n + gap in views][:10]:
        pose = truth.camera_to_world[a + gap]
        x, y, z = ((points[a] - pose[:3, 3]) @ pose[:3, :3]).T
        u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        there = (z > 0) & (u >= -0.5) & (v >= -0.5) & (u < camera.width - 0.5) & (v < camera.height - 0.5)
        there &= in_view(truth.street.arrays, pose[:3, 3], points[a])
        stored = seen_in(views[a], views[a + gap], tolerance_m, False)
        for line, kind in enumerate((views[a].counted, ~views[a].counted)):
            counts[line] += [(stored & there & kind).sum(), (stored & kind).sum(), (there & kind).sum()]
    shares = counts[:, :1] / np.maximum(counts[:, 1:], 1)
    return {
        "precision": shares[0, 0],
        "recall": shares[0, 1],
        "ground_precision": shares[1, 0],
        "ground_recall": shares[1, 1],
    }


def _speed(report: measure.Report, exact: Views, filled: Views, repeats: int) -> None:
    pairs = [(a, b) for a in exact for b in exact if 0 < b - a <= 10][:60]

    def numpy() -> list[int]:
        return [_numpy_matches(exact[a], exact[b]) for a, b in pairs]

    def ours() -> list[int]:
        return [int(seen_in(exact[a], exact[b], REFERENCE.match_tolerance_m, True).sum()) for a, b in pairs]

    def both_ways() -> list[float]:
        return [_share(filled[a], filled[b]) for a, b in pairs]

    if ours() != numpy():
        raise click.ClickException("numpy and the kernel count different matches")
    seconds = measure.interleaved({"ours": ours, "numpy": numpy, "paper": both_ways}, repeats)
    middle = {name: measure.median(values) / len(pairs) * 1e3 for name, values in seconds.items()}
    report.figures["ratio_numpy"] = middle["numpy"] / middle["ours"]
    report.notes.append(
        f"A pair takes {middle['ours']:.2f} ms the authors' way, {middle['numpy']:.2f} ms so in numpy "
        f"(ratio {report.figures['ratio_numpy']:.1f}), and {middle['paper']:.2f} ms in both directions on "
        f"the surface, as preset paper does. {len(pairs)} pairs."
    )
    found = report.figures
    report.notes.append(
        f"Of scan points in the image {found['hidden_share_before']:.1%} are hidden from the camera, "
        f"{found['hidden_share_after']:.1%} of those kept; {found['hidden_points_removed']:.1%} of hidden "
        f"and {found['seen_points_removed']:.1%} of seen points are taken out."
    )


def _numpy_matches(a: SparseView, b: SparseView) -> int:
    points = a.points_m @ (b.camera_to_world[:3, :3].T @ a.camera_to_world[:3, :3]).T
    points += b.camera_to_world[:3, :3].T @ (a.camera_to_world[:3, 3] - b.camera_to_world[:3, 3])
    points = points[points[:, 2] > 0]
    x, y = (points[:, :2] / points[:, 2:] * b.camera[:2] + b.camera[2:]).astype(np.int64).T
    inside = (x >= 0) & (y >= 0) & (x < b.surface.shape[1]) & (y < b.surface.shape[0])
    there = b.surface[y[inside], x[inside]] * b.depth_unit_m
    return int(((there > 0) & (np.abs(there - points[inside, 2]) < REFERENCE.match_tolerance_m)).sum())


if __name__ == "__main__":
    main()
