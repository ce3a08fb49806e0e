"""Poses from KITTI's inertial and satellite unit (OXTS): one file a frame, one line of 30 numbers each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.errors import DataError
from pri3d_data.kitti.calibration import read_text

_NUMBERS = 30
_EARTH_RADIUS_M = 6378137.0
_LONGEST_BYTES = 1 << 14


class Fix(NamedTuple):
    """Where the unit was: degrees, metres, radians, as the file has them."""

    latitude_deg: float
    longitude_deg: float
    altitude_m: float
    roll_rad: float
    pitch_rad: float
    yaw_rad: float


def read_fix(path: str, frame: int) -> Fix:
    """The position and attitude of one ``oxts/data/<frame>.txt``.

    Raises:
        DataError: the file is missing, or its line has not 30 numbers that can be a place on Earth.
    """
    words = read_text(path, _LONGEST_BYTES).split()
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError as error:
        raise DataError(f"holds something that is no number ({error}).", file=path, frame=frame) from error
    if len(numbers) != _NUMBERS:
        raise DataError(
            f"a line of {_NUMBERS} numbers is expected, it has {len(numbers)}.", file=path, frame=frame
        )
    fix = Fix(*numbers[:6].tolist())
    # The map's north runs away at the poles.
    if not (np.isfinite(fix).all() and abs(fix.latitude_deg) < 89.0 and abs(fix.longitude_deg) <= 360.0):
        raise DataError("its position is no place on Earth.", file=path, frame=frame)
    return fix


def imu_to_world(fix: Fix, origin: Fix) -> NDArray[np.float64]:
    """Pose of the unit on a Mercator map that is true to scale at the drive's first fix.

    Args:
        fix: where the unit is.
        origin: the drive's first fix: the world's zero.

    Returns:
        (4, 4) float64, metres; the unit's axes are x forward, y left, z up, the world's east, north, up.
    """
    pose = np.eye(4)
    pose[:3, :3] = _about(2, fix.yaw_rad) @ _about(1, fix.pitch_rad) @ _about(0, fix.roll_rad)
    pose[:3, 3] = _on_map(fix, origin) - _on_map(origin, origin)
    return pose


def _on_map(fix: Fix, origin: Fix) -> NDArray[np.float64]:
    scale = np.cos(np.radians(origin.latitude_deg)) * _EARTH_RADIUS_M
    north = np.log(np.tan(np.pi / 4.0 + np.radians(fix.latitude_deg) / 2.0))
    return np.array([scale * np.radians(fix.longitude_deg), scale * north, fix.altitude_m])


def _about(axis: int, angle_rad: float) -> NDArray[np.float64]:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    turn = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn[first, first], turn[first, second] = c, -s
    turn[second, first], turn[second, second] = s, c
    return turn
