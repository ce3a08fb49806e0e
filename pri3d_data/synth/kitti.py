"""Procedural drives in KITTI's raw layout: calibration, image_02, velodyne_points, oxts, times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pri3d_data.atomic_file import atomic_file
from pri3d_data.errors import UsageError
from pri3d_data.synth.codecs import encode_png
from pri3d_data.synth.kitti_spec import DAY, FRAMES_PER_S, KittiSynth, KittiTruth, kitti_truth
from pri3d_data.synth.laser import scan_street
from pri3d_data.synth.raycast import render
from pri3d_data.synth.scannet_spec import scene_seed

__all__ = ["KittiSynth", "KittiTruth", "drive_name", "kitti_truth", "write_kitti", "write_kitti_drive"]

OnFrame = Callable[[str, int, int], None]

_EARTH_RADIUS_M = 6378137.0
_ORIGIN_LATITUDE_DEG, _ORIGIN_LONGITUDE_DEG, _ORIGIN_ALTITUDE_M = 49.0, 8.4, 115.0
_START = datetime(2000, 1, 1, 12, 0, 0)


def write_kitti(
    root: Path,
    scenes: int = 1,
    seed: int = 0,
    spec: KittiSynth | None = None,
    on_frame: OnFrame | None = None,
) -> list[Path]:
    """Write drives 0001, 0002, … of one recording day.

    Args:
        root: folder that gets the day's folder.
        scenes: how many drives. seed: not negative; the same seed and spec give the same bytes.
        spec: how they are made; `KittiSynth` defaults if not given.
        on_frame: called after each frame with (drive, frames done, frames in all).

    Returns:
        The drives' folders.

    Raises:
        UsageError: ``scenes`` is less than 1, or the seed negative.
        StorageError: a file cannot be written.
    """
    if scenes < 1 or seed < 0:
        raise UsageError(
            f"{scenes} drives of seed {seed} asked for. Give at least 1 drive and a seed of at least 0."
        )
    made = spec or KittiSynth()
    return [
        write_kitti_drive(root, index + 1, made, scene_seed(seed, index), on_frame) for index in range(scenes)
    ]


def drive_name(number: int) -> str:
    """Folder of a drive below its day."""
    return f"{DAY}_drive_{number:04d}_sync"


def write_kitti_drive(
    root: Path, number: int, spec: KittiSynth, seed: int, on_frame: OnFrame | None = None
) -> Path:
    """Write one drive and its day's calibration; `kitti_truth` of the same spec and seed says what it shows.

    Args:
        root: folder that gets ``<day>/<drive>/``.
        number: the drive's number in its name.
        spec, seed: what to write.
        on_frame: called after each frame with (drive, frames done, frames in all).

    Returns:
        The drive's folder.

    Raises:
        UsageError: the seed is negative.
        StorageError: a file cannot be written.
    """
    truth = kitti_truth(spec, seed)
    name = drive_name(number)
    folder = root / DAY / name
    _write_calibration(root / DAY, truth)
    times = [_START + timedelta(seconds=frame / FRAMES_PER_S) for frame in range(spec.frames)]
    clock = "".join(f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond * 1000:09d}\n" for time in times)
    for sensor in ("image_02", "velodyne_points", "oxts"):
        _write(folder / sensor / "timestamps.txt", clock.encode())
    camera, street = truth.camera, truth.street.arrays
    for frame in range(spec.frames):
        seen = render(street, camera.vector, camera.width, camera.height, truth.camera_to_world[frame])
        scan = scan_street(street, truth.lidar_to_world[frame], spec.azimuths)
        _write(folder / f"image_02/data/{frame:010d}.png", encode_png(seen.rgb[..., ::-1]))
        _write(folder / f"velodyne_points/data/{frame:010d}.bin", scan.astype("<f4").tobytes())
        line = _oxts_line(truth.imu_to_world[frame], spec.speed_m_per_frame * FRAMES_PER_S)
        _write(folder / f"oxts/data/{frame:010d}.txt", line.encode())
        if on_frame is not None:
            on_frame(name, frame + 1, spec.frames)
    return folder


def _write_calibration(day: Path, truth: KittiTruth) -> None:
    camera = truth.camera
    projection = np.eye(4)
    projection[:3, :3] = camera.matrix
    projection = (projection @ truth.reference_to_camera)[:3]
    rows = {
        "S_rect_02": np.array([camera.width, camera.height]),
        "R_rect_00": truth.rectification[:3, :3],
        "P_rect_02": projection,
    }
    _write(day / "calib_cam_to_cam.txt", _calibration(rows))
    for name, mount in (("velo_to_cam", truth.lidar_to_reference), ("imu_to_velo", truth.imu_to_lidar)):
        _write(day / f"calib_{name}.txt", _calibration({"R": mount[:3, :3], "T": mount[:3, 3]}))


def _calibration(rows: dict[str, NDArray[np.generic]]) -> bytes:
    lines = ["calib_time: 01-Jan-2000 12:00:00"]
    # 17 digits: the truth is what a reader gets, to the last bit.
    lines += [f"{key}: {' '.join(f'{value:.16e}' for value in row.ravel())}" for key, row in rows.items()]
    return ("\n".join(lines) + "\n").encode()


def _oxts_line(imu_to_world: NDArray[np.float64], speed_m_per_s: float) -> str:
    """The 30 numbers of a fix: place and attitude are true, the rest only plausible."""
    scale = np.cos(np.radians(_ORIGIN_LATITUDE_DEG)) * _EARTH_RADIUS_M
    east, north, up = imu_to_world[:3, 3].tolist()
    start = np.log(np.tan(np.pi / 4.0 + np.radians(_ORIGIN_LATITUDE_DEG) / 2.0))
    latitude = np.degrees(2.0 * np.arctan(np.exp(start + north / scale)) - np.pi / 2.0)
    longitude = _ORIGIN_LONGITUDE_DEG + np.degrees(east / scale)
    turn = imu_to_world[:3, :3]
    roll, pitch = np.arctan2(turn[2, 1], turn[2, 2]), -np.arcsin(turn[2, 0])
    yaw = np.arctan2(turn[1, 0], turn[0, 0])
    place = [latitude, longitude, _ORIGIN_ALTITUDE_M + up, roll, pitch, yaw]
    motion = [0.0, speed_m_per_s, speed_m_per_s, *[0.0] * 14]
    words = [f"{value:.16g}" for value in (*place, *motion, 0.05, 0.02)]
    return " ".join([*words, "4", "9", "4", "4", "0"]) + "\n"


def _write(path: Path, data: bytes) -> None:
    with atomic_file(path) as file:
        file.write(data)
