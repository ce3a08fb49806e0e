"""A collection of photos with a COLMAP model: where its files lie, and when they last changed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pri3d_data.input_folder import Stamp

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class PhotoScene:
    """Where one reconstruction's files lie. Paths or URLs, which need not exist.

    Attributes:
        scene: its name, of letters, digits, _ and - only.
        model: folder of cameras, images and points3D.
        photos: folder of the photos the model was made of.
        undistorted: folder of the same photos, undistorted already; empty where there is none.
        depths: folder of depth maps of the undistorted photos; empty where there is none.
        stamps: (name, bytes, modification) of the model's files and of each folder as a whole: what a rebuild
            is decided by.
    """

    scene: str
    model: str
    photos: str
    undistorted: str
    depths: str
    stamps: tuple[Stamp, ...]


def scene_name(*parts: str) -> str:
    """A scene's name made of folder names: other characters become _, at most 64 of them."""
    return _NOT_IN_NAMES.sub("_", "_".join(parts))[:64] or "scene"
