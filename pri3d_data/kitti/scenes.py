"""KITTI in either of two layouts, told apart by looking: raw drives, or odometry with depth maps."""

from __future__ import annotations

from pri3d_data.errors import UsageError
from pri3d_data.input_folder import Folder
from pri3d_data.kitti.drive import KittiCapture, KittiDrive
from pri3d_data.kitti.odometry import find_odometry_drives, open_odometry_drive
from pri3d_data.kitti.raw import find_raw_drives, open_raw_drive


def find_scenes(root: str) -> list[KittiDrive]:
    """The drives below a folder, long ones in parts, sorted by name.

    Args:
        root: a folder or URL. Raw: it holds ``<day>/<drive>_sync``, is a day's folder, or one drive.
            Odometry: it holds ``data_depth_annotated/{train,val}/<drive>`` and the odometry download.

    Raises:
        UsageError: the folder is missing, unreadable, holds no drives, or holds both layouts.
    """
    top = Folder.open(root, "Give the folder that holds KITTI's drives.")
    raw, odometry = find_raw_drives(top), find_odometry_drives(top)
    if raw and odometry:
        raise UsageError(
            f"'{root}' holds both raw drives ({raw[0].scene}, …) and odometry sequences with depth maps "
            f"({odometry[0].scene}, …). Give a folder that holds one of the two."
        )
    if raw or odometry:
        return sorted(raw or odometry, key=lambda drive: drive.scene)
    text = (
        f"No KITTI drives in '{root}'. Expected <day>/<day>_drive_<number>_sync with image_02, "
        "velodyne_points and oxts (raw), or data_depth_annotated/{train,val} with the odometry poses and "
        f"sequences; found {top.listing()}."
    )
    drives = [drive.name for day in (top, *top.folders()[:3]) for drive in day.folders()]
    if any(name.endswith("_extract") for name in drives):
        text += " Drives named _extract are neither rectified nor synchronised: download the _sync ones."
    raise UsageError(text)


def open_drive(drive: KittiDrive, beyond: int = 0, stride: int = 1) -> KittiCapture:
    """Open a scene of either layout; see `raw.open_raw_drive`.

    Raises:
        DataError: what all its frames need is missing or broken.
    """
    open_layout = open_raw_drive if drive.layout == "raw" else open_odometry_drive
    return open_layout(drive, beyond, stride)
