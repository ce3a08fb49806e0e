"""COLMAP models of things we know: exact points seen at exact pixels, written by COLMAP's own library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pri3d_data.colmap.camera import ColmapCamera
from pri3d_data.colmap.library import colmap
from pri3d_data.errors import StorageError


def write_model(
    folder: Path,
    names: Sequence[str],
    cameras: Sequence[ColmapCamera],
    camera_to_world: NDArray[np.float64],
    points_world: NDArray[np.float64],
    seen: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]],
    rigs: bool = False,
) -> None:
    """Write a binary model, each photo with a camera of its own.

    Args:
        folder: gets cameras.bin, images.bin, points3D.bin.
        names, cameras: of N photos. camera_to_world: (N, 4, 4) float64, OpenCV axes.
        points_world: (P, 3) float64.
        seen: per photo, the rows of the points it sees and their (K, 2) float64 pixels, centres at integers.
        rigs: keep rigs.bin and frames.bin, which COLMAP writes since 3.12.

    Raises:
        StorageError: the folder cannot be written.
    """
    model = colmap().Reconstruction()
    for number, (name, camera, pose) in enumerate(zip(names, cameras, camera_to_world, strict=True), start=1):
        _add_photo(model, number, name, camera, pose, seen[number - 1][1])
    track_of: list[Any] = [colmap().Track() for _ in points_world]
    for number, (rows, _) in enumerate(seen, start=1):
        for place, row in enumerate(rows.tolist()):
            track_of[row].add_element(number, place)
    for row, point in enumerate(points_world):
        model.add_point3D(point, track_of[row], np.array([128, 128, 128], dtype=np.uint8))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        model.write_binary(str(folder))
        for file in () if rigs else ("rigs.bin", "frames.bin"):
            (folder / file).unlink(missing_ok=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise StorageError(
            f"{folder}: the model cannot be written ({error}). Choose another folder."
        ) from error


def _add_photo(
    model: Any,
    number: int,
    name: str,
    camera: ColmapCamera,
    camera_to_world: NDArray[np.float64],
    pixels: NDArray[np.float64],
) -> None:
    theirs = colmap().Camera(
        camera_id=number,
        model=camera.model,
        width=camera.width,
        height=camera.height,
        params=list(camera.params),
    )
    model.add_camera_with_trivial_rig(theirs)
    rotation = camera_to_world[:3, :3].T
    to_camera = colmap().Rigid3d(
        colmap().Rotation3d(np.ascontiguousarray(rotation)), -rotation @ camera_to_world[:3, 3]
    )
    keypoints = colmap().Point2DList([colmap().Point2D(pixel + 0.5) for pixel in pixels])
    image = colmap().Image(name=name, points2D=keypoints, camera_id=number, image_id=number)
    model.add_image_with_trivial_frame(image, to_camera)
