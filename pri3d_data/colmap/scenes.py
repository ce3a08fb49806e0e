"""Photo collections of one's own: a folder of photos with the COLMAP model made of them."""

from __future__ import annotations

from pri3d_data.colmap.model import MODEL_FILES
from pri3d_data.errors import UsageError
from pri3d_data.input_folder import Folder
from pri3d_data.photo_scene import PhotoScene, scene_name

_EXPECTED = (
    "Give a folder with images/ and a COLMAP model (cameras, images and points3D, .bin or .txt) in "
    "sparse/0/, sparse/ or beside images/, or a folder of such folders."
)


def find_scenes(root: str) -> list[PhotoScene]:
    """Every model of a photo collection, or of the collections in a folder, sorted by name.

    A collection whose mapper made several models gives one scene for each: the first under the folder's own
    name, the others with their number behind it. Depth maps are looked for in ``stereo/depth_maps/``
    (COLMAP's dense workspace) and in ``depths/`` (HDF5 as MegaDepth's).

    Args:
        root: path or URL of the folder.

    Raises:
        UsageError: the folder is missing or unreadable, holds no model, or two models get the same name.
    """
    top = Folder.open(root, _EXPECTED)
    scenes = _scenes(top) or [scene for inner in top.folders() for scene in _scenes(inner)]
    if not scenes:
        raise UsageError(f"No COLMAP model in '{root}'. {_EXPECTED} Found {top.listing()}.")
    names = [scene.scene for scene in scenes]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two models in '{root}' would both be called '{name}'. Rename a folder.")
    return sorted(scenes, key=lambda scene: scene.scene)


def holds_model(folder: Folder) -> bool:
    """Whether a COLMAP model lies right in a folder."""
    names = set(folder.files())
    return any(names.issuperset(files) for files in MODEL_FILES)


def model_stamps(folder: Folder) -> tuple[tuple[str, int, str], ...]:
    """Name, bytes and modification of the files of the model in a folder."""
    return folder.stamps(name for files in MODEL_FILES for name in files)


def _scenes(folder: Folder) -> list[PhotoScene]:
    sparse = folder.inside("sparse")
    models = [inner for inner in sparse.folders() if holds_model(inner)]
    if not models:
        models = [place for place in (sparse, folder) if holds_model(place)][:1]
    photos = folder.inside("images")
    depths = [place for name in ("stereo/depth_maps", "depths") if (place := folder.inside(name)).is_there()]
    scenes = []
    for number, model in enumerate(models):
        scenes.append(
            PhotoScene(
                scene_name(folder.name) if number == 0 else scene_name(folder.name, model.name),
                model.address,
                photos.address,
                "",
                depths[0].address if depths else "",
                (*model_stamps(model), photos.stamp(), *(place.stamp() for place in depths[:1])),
            )
        )
    return scenes
