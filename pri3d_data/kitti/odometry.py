"""KITTI as Pri3D's authors used it: odometry poses and images, and depth-completion maps of the same drives.

The two were published apart: depth maps are numbered as in the raw drive, poses and images as in the
odometry sequence that was cut from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.capture import Frame
from pri3d_data.errors import DataError, UsageError
from pri3d_data.images import decode_depth_png
from pri3d_data.input_folder import Folder
from pri3d_data.kitti.calibration import projection_of, read_rows, read_text
from pri3d_data.kitti.drive import KittiCapture, KittiDrive, image_size, lost_to, parts_of
from pri3d_data.kitti.folders import frames_in

# Drive: sequence, and the raw frame numbers it was cut from, both included (KITTI's odometry devkit).
SEQUENCES = {
    "2011_10_03_drive_0027_sync": ("00", 0, 4540),
    "2011_10_03_drive_0042_sync": ("01", 0, 1100),
    "2011_10_03_drive_0034_sync": ("02", 0, 4660),
    "2011_09_30_drive_0016_sync": ("04", 0, 270),
    "2011_09_30_drive_0018_sync": ("05", 0, 2760),
    "2011_09_30_drive_0020_sync": ("06", 0, 1100),
    "2011_09_30_drive_0027_sync": ("07", 0, 1100),
    "2011_09_30_drive_0028_sync": ("08", 1100, 5170),
    "2011_09_30_drive_0033_sync": ("09", 0, 1590),
    "2011_09_30_drive_0034_sync": ("10", 0, 1200),
}
_DEPTH = ("data_depth_annotated", "depth/data_depth_annotated", "odometry/data_depth_annotated", "")
_POSES = (
    "odometry/data_odometry_velodyne/dataset/poses",
    "odometry/data_odometry_poses/dataset/poses",
    "data_odometry_poses/dataset/poses",
    "dataset/poses",
    "poses",
)
_IMAGES = (
    "odometry/data_odometry_color/dataset/sequences",
    "data_odometry_color/dataset/sequences",
    "dataset/sequences",
    "sequences",
)
_MAPS = "proj_depth/groundtruth/image_02"
_LARGEST_BYTES = 1 << 25


def find_odometry_drives(top: Folder) -> list[KittiDrive]:
    """The drives that have depth maps and an odometry sequence; none where there are no depth maps.

    Raises:
        UsageError: depth maps are there, but no poses or no sequences to go with them.
    """
    drives = {
        drive.name: drive.inside(_MAPS)
        for base in _DEPTH
        for split in ("train", "val")
        for drive in (top.inside(base) if base else top).inside(split).folders()
        if drive.name in SEQUENCES and drive.inside(_MAPS).is_there()
    }
    if not drives:
        return []
    poses, images = (
        next((top.inside(place) for place in places if top.inside(place).is_there()), None)
        for places in (_POSES, _IMAGES)
    )
    if poses is None or images is None:
        what, where = ("poses", _POSES[0]) if poses is None else ("images and calibration", _IMAGES[0])
        raise UsageError(
            f"There are depth-completion maps in '{top.address}', but no odometry {what} to go with them. "
            f"Put them into {where}, as the odometry download has them."
        )
    return [part for name, maps in sorted(drives.items()) for part in _drive(name, maps, poses, images)]


def _drive(name: str, maps: Folder, poses: Folder, images: Folder) -> list[KittiDrive]:
    number, first, last = SEQUENCES[name]
    sequence = images.inside(number)
    stamps = (
        maps.stamp(),
        *poses.stamps([f"{number}.txt"]),
        *sequence.stamps(["calib.txt"]),
        sequence.inside("image_2").stamp(),
    )
    frames = [frame for frame in frames_in(maps.address, "png") if first <= frame <= last]
    return [
        KittiDrive(
            scene,
            "odometry",
            sequence.inside("image_2").address,
            maps.address,
            f"{poses.address}/{number}.txt",
            sequence.address,
            own_first,
            own_last,
            stamps,
        )
        for scene, own_first, own_last in parts_of(name, frames)
    ]


def open_odometry_drive(drive: KittiDrive, beyond: int = 0, stride: int = 1) -> KittiCapture:
    """Read where a drive's frames were, and be ready to read what they saw. Arguments as of `open_raw_drive`.

    Frames have the raw drive's numbers. Those outside the sequence have no pose and are left out.

    Raises:
        DataError: calibration or poses are missing or incomplete, or no image can be read.
    """
    offset, last = _span(drive)
    maps, images = frames_in(drive.depth, "png"), frames_in(drive.images, "png")
    lines = read_text(drive.poses, _LARGEST_BYTES).splitlines()
    times = _times(f"{drive.calibration}/times.txt")
    path = f"{drive.calibration}/calib.txt"
    width, height = _size(images, drive.images)
    camera, reference_to_camera = projection_of(read_rows(path), "P2", path, width, height)
    camera_to_reference = np.linalg.inv(reference_to_camera)
    frames, broken = [], []
    for number in sorted(maps):
        end = min(last, drive.last + beyond)
        if not max(offset, drive.first) <= number <= end or number % stride:
            continue
        index = number - offset
        try:
            if index not in images:
                raise DataError("the file does not exist.", file=f"{drive.images}/{index:06d}.png")
            pose = _pose(lines, index, drive.poses) @ camera_to_reference
        except DataError as error:
            broken.append(lost_to(error, number))
            continue
        name = f"image_2/{index:06d}.png"
        frames.append(Frame(number, times.get(index, 0), camera, pose, camera, pose, name))

    def read_depth(frame: Frame) -> NDArray[np.uint16]:
        return _read_map(maps[frame.index], frame)

    return KittiCapture(frames, [], broken, {n + offset: path for n, path in images.items()}, read_depth)


def _span(drive: KittiDrive) -> tuple[int, int]:
    for name, (_, first, last) in SEQUENCES.items():
        if drive.scene.startswith(name):
            return first, last
    raise DataError(f"'{drive.scene}' is no drive of an odometry sequence.")


def _size(images: dict[int, str], folder: str) -> tuple[int, int]:
    first: DataError | None = None
    for path in images.values():
        try:
            return image_size(path)
        except DataError as error:
            first = first or error
    raise first or DataError("holds no images (<frame>.png).", file=folder)


def _pose(lines: list[str], index: int, path: str) -> NDArray[np.float64]:
    if index >= len(lines):
        raise DataError(f"has {len(lines)} lines; the frame's pose would be in line {index + 1}.", file=path)
    words = lines[index].split()
    pose = np.eye(4)
    try:
        pose[:3] = np.array([float(word) for word in words]).reshape(3, 4)
    except ValueError as error:
        raise DataError(f"line {index + 1} is no pose of 12 numbers.", file=path) from error
    rotation = pose[:3, :3]
    # Written so that a NaN fails.
    if not (np.isfinite(pose).all() and np.abs(rotation @ rotation.T - np.eye(3)).max() < 0.05):
        raise DataError(f"line {index + 1} holds no rotation and place.", file=path)
    return pose


def _times(path: str) -> dict[int, int]:
    try:
        words = read_text(path, _LARGEST_BYTES).split()
        return {index: round(float(word) * 1e6) for index, word in enumerate(words)}
    except (DataError, ValueError, OverflowError):
        # Nothing but the `timestamp` column needs them.
        return {}


def _read_map(path: str, frame: Frame) -> NDArray[np.uint16]:
    with ByteSource(path) as source:
        if source.size > _LARGEST_BYTES:
            raise DataError(f"{source.size} bytes are more than a depth map can have.", file=path)
        data = source.read(0, source.size)
    try:
        depth = decode_depth_png(data)
    except ValueError as error:
        raise DataError(f"its depth cannot be decoded ({error}).", file=path, frame=frame.index) from error
    if depth.shape != (frame.camera.height, frame.camera.width):
        raise DataError(
            f"its depth is {depth.shape[1]}x{depth.shape[0]}, the image {frame.camera.width}x"
            f"{frame.camera.height}.",
            file=path,
            frame=frame.index,
        )
    if 0 < depth.max() <= 255:
        raise DataError(
            "no value is above 255: an 8-bit map, not depth in 1/256 m.", file=path, frame=frame.index
        )
    return depth
