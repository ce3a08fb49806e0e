"""A sparse reconstruction by COLMAP: posed photos, sparse points, and which photo sees which point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fsspec.core import url_to_fs
from numpy.typing import NDArray

from pri3d_data.colmap import binary, text
from pri3d_data.colmap.camera import ColmapCamera
from pri3d_data.colmap.record import ImageRecord, PointTable
from pri3d_data.errors import DataError

MODEL_FILES = tuple(
    tuple(f"{name}.{kind}" for name in ("cameras", "images", "points3D")) for kind in ("bin", "txt")
)


@dataclass(frozen=True, eq=False)
class SparseModel:
    """A reconstruction with its images in order of their names.

    Attributes:
        names: file names relative to the image folder, sorted; an image's frame number is its place here.
        cameras: of each image, as photographed.
        camera_to_world: (N, 4, 4) float64, OpenCV axes, in the scene's own unit.
        starts: (N + 1,) int64; observations starts[i] to starts[i + 1] are image i's.
        points: (M,) int64 rows of ``points_world``, ascending and unique within an image.
        pixels: (M, 2) float64 x, y in the photo, pixel centres at integers.
        points_world: (P, 3) float64, in order of the model's point numbers.
    """

    names: tuple[str, ...]
    cameras: tuple[ColmapCamera, ...]
    camera_to_world: NDArray[np.float64]
    starts: NDArray[np.int64]
    points: NDArray[np.int64]
    pixels: NDArray[np.float64]
    points_world: NDArray[np.float64]

    def seen_by(self, image: int) -> slice:
        """The observations of one image."""
        return slice(int(self.starts[image]), int(self.starts[image + 1]))


def read_model(folder: str) -> SparseModel:
    """Read a model in either form; the binary one where both are there.

    Args:
        folder: path or URL of the folder that holds cameras, images and points3D, .bin or .txt.

    Raises:
        DataError: files are missing, broken, or contradict one another; or no image was registered.
    """
    fs, top = url_to_fs(folder)
    for files, reader in zip(MODEL_FILES, (binary, text), strict=True):
        if all(fs.exists(f"{top.rstrip('/')}/{file}") for file in files):
            paths = [f"{folder.rstrip('/')}/{file}" for file in files]
            cameras = reader.read_cameras(paths[0])
            points = reader.read_points(paths[2])
            return _assembled(paths[1], cameras, list(reader.read_images(paths[1])), points)
    raise DataError(
        "the reconstruction is incomplete: it needs cameras, images and points3D, all .bin or all .txt.",
        file=folder,
    )


def _assembled(
    file: str, cameras: dict[int, ColmapCamera], images: list[ImageRecord], points: PointTable
) -> SparseModel:
    if not images:
        raise DataError("the reconstruction is empty: it has no registered image.", file=file)
    images = sorted(images, key=lambda record: record.name)
    order = np.argsort(points.points, kind="stable")
    numbers, positions = points.points[order], points.positions_world[order]
    if len(np.unique(numbers)) != len(numbers) or not np.isfinite(positions).all():
        raise DataError("the reconstruction's points are not finite, or two share a number.", file=file)
    poses, rows, pixels = [], [], []
    previous = None
    for record in images:
        if record.camera not in cameras:
            raise _contradiction(file, record, f"its camera {record.camera} is not in the model")
        if record.name == previous:
            raise _contradiction(file, record, "there are two images of this name")
        previous = record.name
        if record.name.startswith("/") or ".." in record.name.split("/") or not record.name:
            raise _contradiction(file, record, "its name leads out of the photos' folder")
        poses.append(_camera_to_world(file, record))
        if not np.isin(record.points, numbers).all():
            raise _contradiction(file, record, "it sees a point that the model does not have")
        row = np.searchsorted(numbers, record.points)
        if not np.isfinite(record.pixels).all():
            raise _contradiction(file, record, "a keypoint's position is not a number")
        # Of two keypoints on one point the last counts, as in D2-Net's scripts.
        row, last = np.unique(row[::-1], return_index=True)
        rows.append(row)
        pixels.append(record.pixels[::-1][last] - 0.5)
    return SparseModel(
        tuple(record.name for record in images),
        tuple(cameras[record.camera] for record in images),
        np.stack(poses),
        np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        np.concatenate(rows).astype(np.int64),
        np.concatenate(pixels).reshape(-1, 2),
        positions,
    )


def _camera_to_world(file: str, record: ImageRecord) -> NDArray[np.float64]:
    quaternion = np.array(record.rotation, dtype=np.float64)
    translation = np.array(record.translation, dtype=np.float64)
    norm = np.linalg.norm(quaternion)
    if not (np.isfinite(translation).all() and 0.1 < norm < 10.0):
        raise _contradiction(file, record, "its pose is not a pose")
    w, x, y, z = quaternion / norm
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    pose = np.eye(4)
    pose[:3, :3] = rotation.T
    pose[:3, 3] = -rotation.T @ translation
    return pose


def _contradiction(file: str, record: ImageRecord, what: str) -> DataError:
    return DataError(f"image {record.image} '{record.name}': {what}.", file=file, offset=record.offset)
