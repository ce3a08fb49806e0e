"""The stages of photo collections with a sparse reconstruction: photos, covisibility, bundle.

Both working stages read the model themselves: it is quick to read and large to send.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
from fsspec.core import url_to_fs

from pipelines.dataset import BuiltScene, Scene
from pipelines.encoded_photo import EncodedPhoto
from pipelines.photo_frame import PhotoEncoder, usual_lack
from pipelines.photo_parameters import PhotoParameters
from pipelines.scratch import Scratch
from pipelines.stage import Stage
from pri3d_data.capture import Failure
from pri3d_data.colmap.model import SparseModel, read_model
from pri3d_data.covisibility import covisible_pairs
from pri3d_data.errors import DataError
from pri3d_data.photo_scene import PhotoScene
from pri3d_data.undistortion import undistorted_camera
from shards.bundle import make_bundle
from shards.match_rule import MatchRule
from shards.parts import FrameSample, PairRows

#: The longest side that a scene's undistorted photos may have; None for no limit.
LargestSide = Callable[[PhotoScene, Any], int | None]


@dataclass(frozen=True)
class EncodedPhotos:
    """Photos ready to store, and those that cannot be."""

    samples: tuple[FrameSample, ...]
    failures: tuple[Failure, ...]


def photo_stages(dataset: str, largest_side: LargestSide) -> tuple[Stage, ...]:
    """The stages of a data set whose scenes are `pri3d_data.photo_scene.PhotoScene`."""
    return (
        Stage("photos", partial(encode_photos, largest_side), keeps_parts=True),
        Stage("covisibility", partial(count_covisibility, largest_side)),
        Stage("bundle", partial(bundle_photos, dataset), needs=("photos", "covisibility")),
    )


def encode_photos(
    largest_side: LargestSide, scene: Scene, parameters: PhotoParameters, *, scratch: Scratch | None = None
) -> EncodedPhotos:
    """Every usable photo of the model, undistorted, with depth or tracks.

    Photos of an interrupted scene are found again in ``scratch``.
    """
    files = cast("PhotoScene", scene)
    model = read_model(files.model)
    if not any(_is_folder(folder) for folder in (files.photos, files.undistorted) if folder):
        raise DataError("the photos of the model are missing: there is no such folder.", file=files.photos)
    encoder = PhotoEncoder(files, model, parameters, largest_side(files, parameters))
    samples, failures = [], []
    for number in range(len(model.names)):
        try:
            samples.append(encoder.frame(number, _encoded(encoder, number, scratch)))
        except DataError as error:
            # What sound data lack too does not make a build fail, as lost tracking does not.
            stage = "index" if usual_lack(error) else "photos"
            failures.append(Failure.of(files.scene, number, stage, error))
    return EncodedPhotos(tuple(samples), tuple(failures))


def count_covisibility(largest_side: LargestSide, scene: Scene, parameters: PhotoParameters) -> PairRows:
    """Pairs within the thresholds, counted on the sparse points."""
    files = cast("PhotoScene", scene)
    model = read_model(files.model)
    starts, points, depth = _in_front(model, largest_side(files, parameters))
    pairs = covisible_pairs(starts, points, depth, model.camera_to_world[:, :3, 2], parameters.thresholds)
    seen = np.diff(starts)[pairs.images]
    return PairRows(
        pairs.images,
        seen,
        np.repeat(pairs.shared[:, None], 2, axis=1),
        pairs.shared / seen.min(axis=1, initial=np.iinfo(np.int64).max),
        pairs.scale_ratio,
    )


def bundle_photos(
    dataset: str, scene: Scene, parameters: PhotoParameters, photos: EncodedPhotos, pairs: PairRows
) -> BuiltScene:
    """The usable photos and the pairs between them, laid out as tar members."""
    if not photos.samples:
        lost = Failure(scene.scene, -1, "bundle", "", -1, "none of the scene's photos could be used")
        return BuiltScene(None, (*photos.failures, lost))
    dense = photos.samples[0].depth is not None
    rule = MatchRule("relative_depth", parameters.depth_tolerance) if dense else MatchRule("tracks")
    kept = pairs.among([sample.frame for sample in photos.samples])
    bundle = make_bundle(scene.scene, dataset, photos.samples, kept, rule=rule, length_unit="scene")
    return BuiltScene(bundle, photos.failures)


def _encoded(encoder: PhotoEncoder, number: int, scratch: Scratch | None) -> EncodedPhoto:
    if scratch is None:
        return encoder.encode(number)
    kept = scratch.load(f"{number:06d}")
    found = None if kept is None else EncodedPhoto.unpacked(kept)
    if found is None:
        found = encoder.encode(number)
        scratch.save(f"{number:06d}", found.packed())
    return found


def _in_front(
    model: SparseModel, largest_side: int | None
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], Any, Any]:
    """Observations of points in front of their camera: starts, points, depth over mean focal length."""
    depth = np.empty(len(model.points))
    for image, lens in enumerate(model.cameras):
        part = model.seen_by(image)
        pose = model.camera_to_world[image]
        try:
            camera = undistorted_camera(lens, largest_side)
        except ValueError as error:
            raise DataError(
                f"its camera cannot be undistorted ({error}).", file=model.names[image]
            ) from error
        along = (model.points_world[model.points[part]] - pose[:3, 3]) @ pose[:3, 2]
        depth[part] = along / (0.5 * (camera.fx + camera.fy))
    front = depth > 0
    starts = np.concatenate([[0], np.cumsum(front)])[model.starts]
    return starts, model.points[front], depth[front]


def _is_folder(path: str) -> bool:
    fs, inside = url_to_fs(path)
    return bool(fs.isdir(inside))
