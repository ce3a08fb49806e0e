"""Camera poses from text: one matrix a file, Open3D's trajectory files, TUM's time-stamped quaternions.

All give camera to world, as the data sets that use them do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.errors import DataError

_FARTHEST_M = 1e6


def parse_pose(text: str, file: str) -> NDArray[np.float64] | None:
    """(4, 4) float64 of sixteen numbers; None where they are no pose, as trackers write when they are lost.

    Raises:
        DataError: there are not sixteen numbers.
    """
    values = _numbers(text, file)
    if values.size != 16:
        raise DataError(f"holds {values.size} numbers where a pose has 4x4.", file=file)
    return _checked(values.reshape(4, 4))


def parse_trajectory(text: str, file: str) -> list[NDArray[np.float64] | None]:
    """Poses of Open3D's ``.log``: for each frame a line of three numbers, then four lines of four.

    Raises:
        DataError: the file does not consist of such blocks.
    """
    rows = [line for line in text.splitlines() if line.strip()]
    if not rows or len(rows) % 5:
        raise DataError(f"has {len(rows)} lines, which are no blocks of five.", file=file)
    return [
        parse_pose(" ".join(rows[first + 1 : first + 5]), f"{file} (block {first // 5})")
        for first in range(0, len(rows), 5)
    ]


def parse_tum_trajectory(text: str, file: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and poses of lines ``time tx ty tz qx qy qz qw``; lines that begin with # are comments.

    Returns:
        (N,) seconds, ascending, and (N, 4, 4), both float64.

    Raises:
        DataError: a line has another number of values, or no quaternion.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    rows = _numbers(" ".join(lines), file)
    if not lines or rows.size != 8 * len(lines):
        raise DataError("holds lines other than 'time tx ty tz qx qy qz qw'.", file=file)
    rows = rows.reshape(-1, 8)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    norm = np.linalg.norm(rows[:, 4:], axis=1, keepdims=True)
    if not np.isfinite(rows).all() or (np.abs(norm - 1.0) > 0.01).any():
        raise DataError("holds a quaternion that is no rotation.", file=file)
    x, y, z, w = (rows[:, 4:] / norm).T
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, 3] = rows[:, 1:4]
    poses[:, 0, :3] = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], 1)
    poses[:, 1, :3] = np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], 1)
    poses[:, 2, :3] = np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], 1)
    return rows[:, 0], poses


def nearest_times(
    times: NDArray[np.float64], wanted: NDArray[np.float64], most_s: float
) -> NDArray[np.int64]:
    """For each wanted time the position of the nearest of the ascending ``times``, -1 if that is too far."""
    after = np.searchsorted(times, wanted).clip(1, max(1, len(times) - 1))
    before = np.minimum(after - 1, len(times) - 1)
    after = np.minimum(after, len(times) - 1)
    nearest = np.where(np.abs(times[before] - wanted) <= np.abs(times[after] - wanted), before, after)
    return np.where(np.abs(times[nearest] - wanted) <= most_s, nearest, -1)


def _numbers(text: str, file: str) -> NDArray[np.float64]:
    try:
        return np.array(text.split(), dtype=np.float64)
    except ValueError as error:
        raise DataError(f"holds something that is no number ({error}).", file=file) from error


def _checked(matrix: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if not np.isfinite(matrix).all() or np.abs(matrix[:3, 3]).max() > _FARTHEST_M:
        return None
    rotation = matrix[:3, :3]
    sound = np.abs(rotation @ rotation.T - np.eye(3)).max() < 0.05 and np.linalg.det(rotation) > 0
    return matrix if sound else None
