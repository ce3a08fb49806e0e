"""MegaDepth: where its scenes are, how large its photos were undistorted, and the stages they go through."""

from __future__ import annotations

from pipelines.dataset import DataSet
from pipelines.photo_parameters import D2NET_MIN_OVERLAP, PhotoParameters
from pipelines.photos import photo_stages
from pri3d_data.errors import DataError
from pri3d_data.input_folder import Folder
from pri3d_data.megadepth import find_scenes
from pri3d_data.photo import photo_size
from pri3d_data.photo_scene import PhotoScene

# The authors' scripts tell masks by their small files alone.
_MASK_BYTES = 102_400


def largest_side(scene: PhotoScene, parameters: PhotoParameters) -> int:
    """The longest side of any published photo of the scene, as D2-Net limits undistortion."""
    folder = Folder.open(scene.undistorted, "It holds the scene's undistorted photos.")
    sides = []
    for name in folder.files():
        try:
            sides.append(max(photo_size(f"{scene.undistorted}/{name}")))
        except DataError:
            # A photo that is in the model and broken is named when its turn comes; others do not matter.
            continue
    if not sides:
        raise DataError("there are no photos in it.", file=scene.undistorted)
    return max(sides)


MEGADEPTH = DataSet(
    name="megadepth",
    summary="MegaDepth: MegaDepth_v1/<scene>/dense0 and MegaDepth_v1_SfM/<scene>",
    find_scenes=find_scenes,
    stages=photo_stages("megadepth", largest_side),
    presets={
        "paper": PhotoParameters(),
        "reference": PhotoParameters(preset="reference", least_depth_bytes=_MASK_BYTES),
        "d2net": PhotoParameters(preset="d2net", min_overlap=D2NET_MIN_OVERLAP),
    },
)
