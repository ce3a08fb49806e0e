"""MegaDepth as its authors publish it: photos with depth in one tree, reconstructions in another.

MegaDepth_v1/<scene>/dense<k>/{imgs,depths}/           undistorted photos and their depth
MegaDepth_v1_SfM/<scene>/{images,sparse/manhattan/<k>}  the photos and their COLMAP models
"""

from __future__ import annotations

import re

from pri3d_data.colmap.scenes import model_stamps
from pri3d_data.errors import UsageError
from pri3d_data.input_folder import Folder
from pri3d_data.photo_scene import PhotoScene, scene_name

_DENSE = re.compile(r"^dense(\d{1,4})$")
# The archive's own folders before the scenes, for those who unpacked it as it is.
_DEPTH_ROOTS = ("MegaDepth_v1", "phoenix/S6/zl548/MegaDepth_v1", "MegaDepth_v1/phoenix/S6/zl548/MegaDepth_v1")
_MODEL_ROOT = "MegaDepth_v1_SfM"
_EXPECTED = (
    "Give the folder that holds MegaDepth_v1/<scene>/dense0/{imgs,depths} and "
    "MegaDepth_v1_SfM/<scene>/{images,sparse/manhattan/0}."
)


def find_scenes(root: str) -> list[PhotoScene]:
    """The reconstructions with depth below the two trees, sorted by name.

    ``dense<k>`` goes with ``manhattan/<k>``. The first of a scene is named as the scene (``0022``), others
    carry their folder's name too (``0022_dense1``) and are left out where they have no model.

    Args:
        root: path or URL of the folder that holds both trees.

    Raises:
        UsageError: a tree is missing or unreadable, or nothing was found in it.
    """
    top = Folder.open(root, _EXPECTED)
    models = top.inside(_MODEL_ROOT)
    depth_roots = [place for name in _DEPTH_ROOTS if (place := top.inside(name)).is_there()]
    for found, name in ((depth_roots, "MegaDepth_v1"), (models.is_there(), _MODEL_ROOT)):
        if not found:
            raise UsageError(f"There is no '{name}' in '{root}'. {_EXPECTED} Found {top.listing()}.")
    scenes = []
    # The published archive nests a second MegaDepth_v1 in the first; the inner one holds the scenes.
    for depth_root in depth_roots[::-1]:
        for folder in depth_root.folders():
            dense = [place for place in folder.folders() if _DENSE.match(place.name)]
            scenes += [scene for place in dense if (scene := _scene(folder.name, place, models)) is not None]
        if scenes:
            return sorted(scenes, key=lambda scene: scene.scene)
    raise UsageError(f"No scene with dense depth in '{root}'. {_EXPECTED} Found {depth_roots[0].listing()}.")


def _scene(name: str, dense: Folder, models: Folder) -> PhotoScene | None:
    number = int(dense.name.removeprefix("dense"))
    photos = models.inside(f"{name}/images")
    model = models.inside(f"{name}/sparse/manhattan/{number}")
    stamps = model_stamps(model)
    if number and not stamps:
        return None
    imgs, depths = dense.inside("imgs"), dense.inside("depths")
    return PhotoScene(
        scene_name(name) if number == 0 else scene_name(name, dense.name),
        model.address,
        photos.address,
        imgs.address,
        depths.address,
        (*stamps, photos.stamp(), imgs.stamp(), depths.stamp()),
    )
