"""Folders of posed RGB-D frames: how one is opened, and the stages it goes through."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

from pipelines.dataset import DataSet, Scene
from pipelines.parameters import option
from pipelines.rgbd import rgbd_stages
from pipelines.rgbd_parameters import RGBD_PRESETS, RgbdParameters
from pri3d_data.errors import UsageError
from pri3d_data.rgbd_folder import RgbdFolderCapture
from pri3d_data.rgbd_layout import RgbdScene, find_scenes


def parse_intrinsics(text: str) -> tuple[float, float, float, float]:
    """``fx,fy,cx,cy`` in pixels of the colour image.

    Raises:
        UsageError: anything but four numbers, the first two above 0.
    """
    try:
        fx, fy, cx, cy = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--intrinsics '{text}' is not fx,fy,cx,cy, such as 585,585,320,240.") from error
    if not (fx > 0 and fy > 0):
        raise UsageError(f"--intrinsics '{text}' has a focal length that is not above 0.")
    return fx, fy, cx, cy


@dataclass(frozen=True, kw_only=True)
class FolderParameters(RgbdParameters):
    """A folder of frames.

    Attributes:
        depth_unit_m: metres a step of the depth images stands for.
        intrinsics: (fx, fy, cx, cy) of the colour images in pixels; None reads the folder's camera file.
    """

    depth_unit_m: float = option(0.001, "Metres a step of the depth images stands for.", metavar="METRES")
    intrinsics: tuple[float, float, float, float] | None = option(
        None,
        "Of the colour images, in pixels; a camera file in the folder says them too.",
        parse=parse_intrinsics,
        metavar="fx,fy,cx,cy",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.depth_unit_m < 1.0:
            raise UsageError(
                f"--depth-unit-m {self.depth_unit_m} is no step of depth: 0.001 for millimetres."
            )


def open_folder(scene: Scene, parameters: FolderParameters) -> RgbdFolderCapture:
    """Open a folder at the build's stride."""
    found = cast("RgbdScene", scene)
    return RgbdFolderCapture(found, parameters.stride, parameters.depth_unit_m, parameters.intrinsics)


RGBD = DataSet(
    name="rgbd",
    summary="posed RGB-D folders: 7-Scenes, TUM, Open3D, or color/ depth/ pose/",
    find_scenes=find_scenes,
    stages=rgbd_stages("rgbd", open_folder),
    presets={
        name: FolderParameters(**{field.name: getattr(preset, field.name) for field in fields(preset)})
        for name, preset in RGBD_PRESETS.items()
    },
)
