"""Procedural photo collections in MegaDepth's published layout: photos, COLMAP model, undistorted, depth."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pri3d_data.atomic_file import atomic_file
from pri3d_data.errors import UsageError
from pri3d_data.synth.colmap import write_model
from pri3d_data.synth.lens import pixel_grid, project, rays
from pri3d_data.synth.megadepth_spec import MegaDepthSynth, MegaDepthTruth, megadepth_truth
from pri3d_data.synth.raycast import trace
from pri3d_data.synth.rays import trace_rays
from pri3d_data.synth.texture import surface_colors
from pri3d_data.undistortion import undistort_photo

__all__ = ["MegaDepthSynth", "MegaDepthTruth", "megadepth_truth", "write_megadepth", "write_megadepth_scene"]

_WINDOW = 9  # ScanNet's category, which stands for sky here: looked through, never measured.
_IN_VIEW = 1e-6

OnPhoto = Callable[[str, int, int], None]


def write_megadepth(
    root: Path,
    scenes: int = 2,
    seed: int = 0,
    spec: MegaDepthSynth | None = None,
    on_photo: OnPhoto | None = None,
) -> list[str]:
    """Write collections 0000, 0001, ….

    Args:
        root: folder that gets ``MegaDepth_v1/`` and ``MegaDepth_v1_SfM/``.
        scenes: how many. seed: not negative; the same seed and spec give the same bytes.
        spec: how they are made; `MegaDepthSynth` defaults if not given.
        on_photo: called after each photo with (scene, photos done, photos in all).

    Returns:
        The scenes' names.

    Raises:
        UsageError: ``scenes`` is less than 1, or the seed negative.
        StorageError: a file cannot be written.
    """
    if scenes < 1 or seed < 0:
        raise UsageError(
            f"{scenes} scenes of seed {seed} asked for. Give at least 1 scene and a seed of at least 0."
        )
    names = [f"{index:04d}" for index in range(scenes)]
    for index, name in enumerate(names):
        write_megadepth_scene(root, name, spec or MegaDepthSynth(), scene_seed(seed, index), on_photo)
    return names


def scene_seed(seed: int, index: int) -> int:
    """The seed that ``write_megadepth(seed=seed)`` writes its scene ``index`` with."""
    return int(np.random.SeedSequence([seed, index, 4]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def write_megadepth_scene(
    root: Path, scene: str, spec: MegaDepthSynth, seed: int, on_photo: OnPhoto | None = None
) -> None:
    """Write one collection; `megadepth_truth` of the same spec and seed says what it shows.

    Args:
        root: folder that gets both trees. scene: its name, such as 0022.
        spec, seed: what to write.
        on_photo: called after each photo with (scene, photos done, photos in all).

    Raises:
        UsageError: the seed is negative.
        StorageError: a file cannot be written.
    """
    truth = megadepth_truth(spec, seed)
    sfm, dense = root / "MegaDepth_v1_SfM" / scene, root / "MegaDepth_v1" / scene / "dense0"
    for number, name in enumerate(truth.names):
        photo = _photo(truth, number)
        _write_jpeg(sfm / "images" / name, photo, truth.grey[number], spec.jpeg_quality)
        undistorted = undistort_photo(photo, truth.cameras[number], spec.dense_side)
        _write_jpeg(dense / "imgs" / name, undistorted, truth.grey[number], spec.jpeg_quality)
        with atomic_file(dense / "depths" / f"{Path(name).stem}.h5") as file:
            file.write(_h5(_depth(truth, number)))
        if on_photo is not None:
            on_photo(scene, number + 1, spec.photos)
    points_m = sparse_points(truth, seed)
    seen = [_seen(truth, number, points_m) for number in range(spec.photos)]
    counts = np.bincount(np.concatenate([rows for rows, _ in seen]), minlength=len(points_m))
    # A point of a reconstruction was seen at least twice.
    kept = counts >= 2
    renumbered = np.cumsum(kept) - 1
    poses = truth.camera_to_world_m.copy()
    poses[:, :3, 3] *= spec.units_per_m
    write_model(
        sfm / "sparse" / "manhattan" / "0",
        truth.names,
        truth.cameras,
        poses,
        points_m[kept] * spec.units_per_m,
        [(renumbered[rows[kept[rows]]], pixels[kept[rows]]) for rows, pixels in seen],
        spec.rigs,
    )


def sparse_points(truth: MegaDepthTruth, seed: int) -> NDArray[np.float64]:
    """(points, 3) float64 world points in metres, drawn from what the photos show."""
    rng = np.random.default_rng([seed, 12])
    spec = truth.spec
    share = np.bincount(rng.integers(0, spec.photos, spec.points), minlength=spec.photos)
    points = []
    for camera, pose, count in zip(truth.cameras, truth.camera_to_world_m, share.tolist(), strict=True):
        pixels = rng.uniform(0, [camera.width - 1, camera.height - 1], (count, 2))
        points.append(trace_rays(truth.room.arrays, rays(camera, pixels), pose)[1])
    return np.concatenate(points)


def _photo(truth: MegaDepthTruth, number: int) -> NDArray[np.uint8]:
    camera, arrays = truth.cameras[number], truth.room.arrays
    seen = rays(camera, pixel_grid(camera.width, camera.height))
    _, points, surface, face = trace_rays(arrays, seen, truth.camera_to_world_m[number])
    return surface_colors(arrays, points, surface, face).reshape(camera.height, camera.width, 3)


def _depth(truth: MegaDepthTruth, number: int) -> NDArray[np.float32]:
    camera, arrays = truth.undistorted[number], truth.room.arrays
    depth_m, _, surface, _ = trace(
        arrays, camera.vector, camera.width, camera.height, truth.camera_to_world_m[number]
    )
    semantic = arrays.semantic[surface]
    if truth.masked[number]:
        return np.where(semantic == _WINDOW, 0.0, np.where(depth_m < 2.0, 1.0, 2.0)).astype(np.float32)
    return np.where(semantic == _WINDOW, 0.0, depth_m * truth.spec.units_per_m).astype(np.float32)


def _seen(
    truth: MegaDepthTruth, number: int, points_m: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of the points a photo sees, and where."""
    camera, pose = truth.cameras[number], truth.camera_to_world_m[number]
    local = (points_m - pose[:3, 3]) @ pose[:3, :3]
    rows = np.flatnonzero(local[:, 2] > 0.05)
    pixels = project(camera, local[rows])
    # Far outside the photo a lens formula may fold back into it.
    back = np.abs(rays(camera, pixels) - local[rows, :2] / local[rows, 2:]).max(axis=1, initial=0.0)
    size = np.array([camera.width, camera.height])
    inside = ((pixels >= -0.5) & (pixels <= size - 0.5)).all(axis=1) & (back < 1e-6)
    rows, pixels = rows[inside], pixels[inside]
    first = trace_rays(truth.room.arrays, rays(camera, pixels), pose)[0]
    in_view = local[rows, 2] <= first * (1.0 + _IN_VIEW)
    return rows[in_view], pixels[in_view]


def _write_jpeg(path: Path, rgb: NDArray[np.uint8], grey: bool, quality: int) -> None:
    if grey:
        pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[:, :, None]
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "GRAY", colorsubsampling="Gray")
    else:
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality, "RGB", colorsubsampling="420")
    with atomic_file(path) as file:
        file.write(data)


def _h5(values: NDArray[np.float32]) -> bytes:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="earliest") as file:
        # Without timestamps the same image is the same bytes.
        file.create_dataset("depth", data=values, track_times=False)
    return buffer.getvalue()
