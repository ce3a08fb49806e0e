"""KITTI's calibration files: named rows of numbers, and the camera and mounts they describe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.camera import Camera
from pri3d_data.errors import DataError

_LONGEST_BYTES = 1 << 20
_WIDEST = 16384


@dataclass(frozen=True, eq=False)
class RawCalibration:
    """Camera 2 of a recording day, and where scanner and inertial unit sit.

    Attributes:
        camera: the rectified colour camera.
        lidar_to_camera, imu_to_camera: (4, 4) float64, metres.
    """

    camera: Camera
    lidar_to_camera: NDArray[np.float64]
    imu_to_camera: NDArray[np.float64]


def read_rows(path: str) -> dict[str, NDArray[np.float64]]:
    """The rows ``key: number number …`` of a calibration file; rows of anything else are left out.

    Raises:
        DataError: the file is missing, unreadable or far too long.
    """
    rows = {}
    for line in read_text(path, _LONGEST_BYTES).splitlines():
        key, colon, values = line.partition(":")
        try:
            numbers = np.array([float(word) for word in values.split()])
        except ValueError:
            continue
        if colon and len(numbers):
            rows[key.strip()] = numbers
    return rows


def numbers_of(rows: dict[str, NDArray[np.float64]], key: str, count: int, path: str) -> NDArray[np.float64]:
    """The numbers of one row.

    Raises:
        DataError: the key is missing, or has not ``count`` finite numbers; names file and key.
    """
    remedy = "Fetch the calibration of this recording again."
    if key not in rows:
        raise DataError(f"has no numbers for the key '{key}'.", file=path, remedy=remedy)
    numbers = rows[key]
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise DataError(
            f"its key '{key}' needs {count} finite numbers, it has {int(np.isfinite(numbers).sum())}.",
            file=path,
            remedy=remedy,
        )
    return numbers


def read_raw_calibration(folder: str) -> RawCalibration:
    """Camera 2 and the mounts from the three ``calib_*.txt`` files of a recording day.

    Args:
        folder: path or URL of the day's folder.

    Raises:
        DataError: a file is missing, or lacks a key.
    """
    path = f"{folder}/calib_cam_to_cam.txt"
    rows = read_rows(path)
    width, height = numbers_of(rows, "S_rect_02", 2, path).tolist()
    if not (1 <= width <= _WIDEST and 1 <= height <= _WIDEST):
        raise DataError(f"its key 'S_rect_02' says {width:g} x {height:g} pixels.", file=path)
    rectified = np.eye(4)
    rectified[:3, :3] = _rotation(rows, "R_rect_00", path)
    camera, rectified_to_camera = projection_of(rows, "P_rect_02", path, int(width), int(height))
    lidar_to_camera = rectified_to_camera @ rectified @ _mount(f"{folder}/calib_velo_to_cam.txt")
    return RawCalibration(
        camera, lidar_to_camera, lidar_to_camera @ _mount(f"{folder}/calib_imu_to_velo.txt")
    )


def projection_of(
    rows: dict[str, NDArray[np.float64]], key: str, path: str, width: int, height: int
) -> tuple[Camera, NDArray[np.float64]]:
    """A rectified projection matrix as a camera and where it sits beside the reference camera.

    As pykitti and the authors read it, the last column holds the sideways shift alone. Its two other entries,
    which KITTI's real files fill too, move camera 2 by less than 3 mm, or 0.3 pixels at five metres.

    Args:
        rows, key, path: as of `numbers_of`; the 3×4 matrix row by row.
        width, height: of the image, pixels.

    Returns:
        The camera, and (4, 4) float64 rectified reference camera to camera, metres.

    Raises:
        DataError: the row is missing, or no camera has such a matrix.
    """
    matrix = numbers_of(rows, key, 12, path).reshape(3, 4)
    if not (matrix[0, 0] > 0.0 and matrix[1, 1] > 0.0):
        raise DataError(f"its key '{key}' has no positive focal lengths.", file=path)
    shift = np.eye(4)
    shift[0, 3] = matrix[0, 3] / matrix[0, 0]
    return Camera.from_matrix(matrix, width, height), shift


def read_text(path: str, longest: int) -> str:
    """A small text file, whatever its bytes.

    Raises:
        DataError: it is missing, unreadable, or longer than ``longest`` bytes.
    """
    with ByteSource(path) as source:
        if source.size > longest:
            raise DataError(
                f"has {source.size} bytes, far more than such a file can have ({longest}).", file=path
            )
        return source.read(0, source.size).decode("utf-8", errors="replace")


def _mount(path: str) -> NDArray[np.float64]:
    rows = read_rows(path)
    matrix = np.eye(4)
    matrix[:3, :3] = _rotation(rows, "R", path)
    matrix[:3, 3] = numbers_of(rows, "T", 3, path)
    return matrix


def _rotation(rows: dict[str, NDArray[np.float64]], key: str, path: str) -> NDArray[np.float64]:
    matrix = numbers_of(rows, key, 9, path).reshape(3, 3)
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > 0.01 or np.linalg.det(matrix) < 0.0:
        raise DataError(f"its key '{key}' is no rotation.", file=path)
    return matrix
