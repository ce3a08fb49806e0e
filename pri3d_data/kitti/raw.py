"""KITTI raw: a recording day's calibration, and drives of synchronised images, scans and inertial poses."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from pri3d_data.capture import Frame, LostFrame
from pri3d_data.errors import DataError
from pri3d_data.input_folder import Folder
from pri3d_data.kitti.calibration import RawCalibration, read_raw_calibration, read_text
from pri3d_data.kitti.drive import DEPTH_UNIT_M, KittiCapture, KittiDrive, lost_to, parts_of
from pri3d_data.kitti.folders import frames_in
from pri3d_data.kitti.oxts import Fix, imu_to_world, read_fix
from pri3d_data.kitti.velodyne import read_scan, spacing_px
from pri3d_data.lidar_projection import project_scan, without_hidden

_DAY = re.compile(r"^\d{4}_\d{2}_\d{2}$")
_DRIVE = re.compile(r"^\d{4}_\d{2}_\d{2}_drive_\d{4}_sync$")
_CALIBRATION = ("calib_cam_to_cam.txt", "calib_imu_to_velo.txt", "calib_velo_to_cam.txt")
_PARTS = ("image_02/data", "velodyne_points/data", "oxts/data")
_LONGEST_BYTES = 1 << 24


def find_raw_drives(top: Folder) -> list[KittiDrive]:
    """The drives of a raw download: ``<day>/<drive>_sync`` below a folder, a day's folder, or one drive."""
    if _DRIVE.match(top.name):
        return _drive(top.above(), top)
    days = [top] if _DAY.match(top.name) else [day for day in top.folders() if _DAY.match(day.name)]
    return [
        part
        for day in days
        for drive in day.folders()
        if _DRIVE.match(drive.name) and any(drive.inside(data).is_there() for data in _PARTS)
        for part in _drive(day, drive)
    ]


def _drive(day: Folder, drive: Folder) -> list[KittiDrive]:
    parts = [drive.inside(name) for name in _PARTS]
    stamps = (*day.stamps(_CALIBRATION), *(part.stamp() for part in parts))
    images, depth, poses = (part.address for part in parts)
    frames = [*frames_in(images, "png"), *frames_in(depth, "bin"), *frames_in(poses, "txt")]
    return [
        KittiDrive(scene, "raw", images, depth, poses, day.address, first, last, stamps)
        for scene, first, last in parts_of(drive.name, frames)
    ]


def open_raw_drive(drive: KittiDrive, beyond: int = 0, stride: int = 1) -> KittiCapture:
    """Read where a drive's frames were, and be ready to read what they saw.

    Args:
        drive: as found.
        beyond: how many frame numbers after the last own one are listed too.
        stride: every how-many-th frame number is taken.

    Returns:
        The capture. The world is a map (x east, y north, z up) with its zero at the drive's first fix. Frames
        whose scan alone is missing are lost, those without image or pose are broken.

    Raises:
        DataError: the calibration is missing or incomplete, or no frame of the drive has a position.
    """
    calibration = read_raw_calibration(drive.calibration)
    images, scans = frames_in(drive.images, "png"), frames_in(drive.depth, "bin")
    fixes = frames_in(drive.poses, "txt")
    origin = _first_fix(fixes, drive.poses)
    times = _timestamps(drive.images.rsplit("/", 1)[0] + "/timestamps.txt")
    camera_to_imu = np.linalg.inv(calibration.imu_to_camera)
    frames, lost, broken = [], [], []
    for number in sorted(set(images) | set(scans) | set(fixes)):
        if not drive.first <= number <= drive.last + beyond or number % stride:
            continue
        try:
            if number not in images:
                raise DataError("the file does not exist.", file=f"{drive.images}/{number:010d}.png")
            if number not in fixes:
                raise DataError("the file does not exist.", file=f"{drive.poses}/{number:010d}.txt")
            pose = imu_to_world(read_fix(fixes[number], number), origin) @ camera_to_imu
        except DataError as error:
            broken.append(lost_to(error, number))
            continue
        if number not in scans:
            # Four scans of the published drive 2011_09_26_drive_0009 never were.
            path = f"{drive.depth}/{number:010d}.bin"
            lost.append(LostFrame(number, path, -1, "there is no scan of this frame"))
            continue
        camera = calibration.camera
        name = f"image_02/data/{number:010d}.png"
        frames.append(Frame(number, times.get(number, 0), camera, pose, camera, pose, name))

    def read_depth(frame: Frame) -> NDArray[np.uint16]:
        return _scan_in_camera(scans[frame.index], frame.index, calibration)

    return KittiCapture(frames, lost, broken, images, read_depth)


def _scan_in_camera(path: str, frame: int, calibration: RawCalibration) -> NDArray[np.uint16]:
    camera = calibration.camera
    points = read_scan(path, frame)
    depth = project_scan(
        points, calibration.lidar_to_camera, camera.vector, camera.width, camera.height, DEPTH_UNIT_M
    )
    return without_hidden(depth, *spacing_px(camera))


def _first_fix(fixes: dict[int, str], folder: str) -> Fix:
    first: DataError | None = None
    for number, path in sorted(fixes.items()):
        try:
            return read_fix(path, number)
        except DataError as error:
            first = first or error
    raise first or DataError("holds no poses (<frame>.txt).", file=folder, remedy="Fetch the drive again.")


def _timestamps(path: str) -> dict[int, int]:
    """Microseconds since 1970 by line number; lines that say nothing are left out."""
    times = {}
    try:
        lines = read_text(path, _LONGEST_BYTES).splitlines()
    except DataError:
        # Nothing but the `timestamp` column needs them.
        return {}
    for number, line in enumerate(lines):
        second, _, fraction = line.strip().partition(".")
        try:
            at = datetime.strptime(second, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
            times[number] = int(at.timestamp()) * 1_000_000 + int((fraction + "000000")[:6])
        except (ValueError, OverflowError):
            continue
    return times
