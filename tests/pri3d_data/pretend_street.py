"""A small made-up drive and its truth, for tests that need one: written, and seen without reading any file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pri3d_data.images import encode_depth_png, encode_png_color
from pri3d_data.synth import cast
from pri3d_data.synth.kitti import KittiSynth, KittiTruth, kitti_truth, write_kitti
from pri3d_data.synth.laser import scan_street
from pri3d_data.synth.raycast import render
from pri3d_data.synth.scannet_spec import scene_seed

SEED = 3
SPEC = KittiSynth(frames=16, image_size=(621, 188), azimuths=1000, speed_m_per_frame=1.5)


class Seen(NamedTuple):
    """The scan points that a plain numpy projection puts on camera 2's image, the nearest of each pixel."""

    points_world: np.ndarray
    depth_m: np.ndarray
    row: np.ndarray
    column: np.ndarray


def truth() -> KittiTruth:
    return kitti_truth(SPEC, scene_seed(SEED, 0))


def write_street(root: Path, scenes: int = 1) -> Path:
    write_kitti(root, scenes, SEED, SPEC)
    return root


def scan(street: KittiTruth, frame: int) -> np.ndarray:
    return scan_street(street.street.arrays, street.lidar_to_world[frame], SPEC.azimuths)


def nearest_of_each_pixel(
    scan: np.ndarray, lidar_to_camera: np.ndarray, camera: np.ndarray, width: int, height: int
):
    """(points in the scanner's frame, depth, row, column), sorted by row, then column."""
    points = scan[:, :3].astype(np.float64)
    x, y, z = (lidar_to_camera @ np.column_stack([points, np.ones(len(points))]).T)[:3]
    ahead = z > 0.1
    points, x, y, z = points[ahead], x[ahead], y[ahead], z[ahead]
    column = np.floor(camera[0] * x / z + camera[2] + 0.5).astype(np.int64)
    row = np.floor(camera[1] * y / z + camera[3] + 0.5).astype(np.int64)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    order = np.flatnonzero(inside)[np.argsort(z[inside], kind="stable")]
    _, first = np.unique(row[order] * width + column[order], return_index=True)
    chosen = order[first]
    return points[chosen], z[chosen], row[chosen], column[chosen]


def seen_by_camera(street: KittiTruth, frame: int) -> Seen:
    camera = street.camera
    points, depth_m, row, column = nearest_of_each_pixel(
        scan(street, frame), street.lidar_to_camera, camera.vector, camera.width, camera.height
    )
    to_world = street.lidar_to_world[frame]
    return Seen(points @ to_world[:3, :3].T + to_world[:3, 3], depth_m, row, column)


def in_view(street: KittiTruth, points_world: np.ndarray, frame: int) -> np.ndarray:
    """Whether nothing stands between camera 2 and each point, by rays."""
    return cast.in_view(street.street.arrays, street.camera_to_world[frame][:3, 3], points_world)


def in_image(street: KittiTruth, points_world: np.ndarray, frame: int) -> np.ndarray:
    pose, camera = street.camera_to_world[frame], street.camera
    x, y, z = ((points_world - pose[:3, 3]) @ pose[:3, :3]).T
    ahead = z > 0.1
    z = np.where(ahead, z, 1.0)
    u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    return ahead & (u >= -0.5) & (v >= -0.5) & (u < camera.width - 0.5) & (v < camera.height - 0.5)


def write_odometry(
    root: Path, drive: str, sequence: str, offset: int, frames: range, split: str = "train"
) -> None:
    """The street as Pri3D's authors had KITTI: depth maps numbered ``frames`` as in the raw drive, and the
    sequence that begins at raw frame ``offset`` with images and poses, its frame 0 the street's frame 0."""
    street = truth()
    camera = street.camera
    folder = root / "odometry/data_odometry_color/dataset/sequences" / sequence
    poses = root / "odometry/data_odometry_velodyne/dataset/poses"
    maps = root / "data_depth_annotated" / split / drive / "proj_depth/groundtruth/image_02"
    for path in (folder / "image_2", poses, maps):
        path.mkdir(parents=True, exist_ok=True)
    projection = camera.matrix @ street.reference_to_camera[:3]
    other = " ".join(["1"] * 12)
    (folder / "calib.txt").write_text(
        f"P0: {other}\nP1: {other}\nP2: {' '.join(map(repr, projection.ravel().tolist()))}\nP3: {other}\nTr: {other}\n"
    )
    (folder / "times.txt").write_text("".join(f"{0.1 * i:e}\n" for i in range(SPEC.frames)))
    reference_to_world = street.camera_to_world @ street.reference_to_camera
    relative = np.linalg.inv(reference_to_world[0]) @ reference_to_world
    (poses / f"{sequence}.txt").write_text(
        "".join(" ".join(map(repr, pose[:3].ravel().tolist())) + "\n" for pose in relative)
    )
    for index in range(SPEC.frames):
        seen = render(
            street.street.arrays, camera.vector, camera.width, camera.height, street.camera_to_world[index]
        )
        (folder / "image_2" / f"{index:06d}.png").write_bytes(encode_png_color(seen.rgb))
    for number in frames:
        index = min(max(number - offset, 0), SPEC.frames - 1)
        seen = seen_by_camera(street, index)
        depth = np.zeros((camera.height, camera.width), np.uint16)
        depth[seen.row, seen.column] = np.floor(seen.depth_m * 256.0 + 0.5)
        (maps / f"{number:010d}.png").write_bytes(encode_depth_png(depth))
