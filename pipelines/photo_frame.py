"""One photo as it is stored: undistorted, with its depth or with the sparse points it sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fsspec.core import url_to_fs
from numpy.typing import NDArray

from pipelines.encoded_photo import EncodedPhoto
from pipelines.photo_parameters import PhotoParameters
from pri3d_data.camera import Camera
from pri3d_data.colmap.depth import read_depth_map
from pri3d_data.colmap.model import SparseModel
from pri3d_data.depth_steps import depth_steps
from pri3d_data.errors import DataError
from pri3d_data.images import encode_depth_png, encode_jpeg, resize_area, resize_nearest
from pri3d_data.megadepth_depth import MaskOnly, read_h5_depth
from pri3d_data.photo import Photo, read_photo
from pri3d_data.photo_scene import PhotoScene
from pri3d_data.undistortion import is_undistorted, undistort_photo, undistort_points, undistorted_camera
from shards import schema
from shards.parts import FrameSample, StoredDepth, Tracks

_COLMAP_DEPTHS = ("geometric", "photometric")


class NoDepth(DataError):
    """A photo without a depth map in a scene that has them; such photos are published, and left out."""


@dataclass(frozen=True, eq=False)
class PhotoEncoder:
    """Turns the photos of one scene into frames.

    Attributes:
        scene: where the files lie.
        model: its reconstruction.
        parameters: how photos are stored.
        largest_side: pixels the longer side of an undistorted photo has at most; None for no limit.
    """

    scene: PhotoScene
    model: SparseModel
    parameters: PhotoParameters
    largest_side: int | None

    def encode(self, number: int) -> EncodedPhoto:
        """The photo of this number as it is stored.

        Raises:
            MaskOnly, NoDepth: the photo has no depth, as happens in sound data.
            DataError: its files are missing, broken or of the wrong size.
        """
        try:
            camera = self._camera(number)
            # Depth decides whether the photo is of use at all, and is the cheaper to read.
            depth = self._depth(number, camera) if self.scene.depths else None
            color, member, stored = self._color(number, camera)
        except ValueError as error:
            raise DataError(f"{error}.", file=self.model.names[number]) from error
        if depth is None:
            return EncodedPhoto(color, member, stored, b"", stored, 0.0, 0)
        steps, unit = depth_steps(depth)
        steps, depth_camera = _depth_like(steps, camera, stored)
        measured = int(np.count_nonzero(depth))
        return EncodedPhoto(color, member, stored, encode_depth_png(steps), depth_camera, unit, measured)

    def frame(self, number: int, photo: EncodedPhoto) -> FrameSample:
        """The photo with what the model says of it: its pose, and without depth the points it sees."""
        pose = self.model.camera_to_world[number]
        depth = tracks = None
        if photo.depth_png:
            depth = StoredDepth(photo.depth_png, photo.depth_camera, pose, photo.depth_unit)
        else:
            tracks = self._tracks(number, photo.camera)
        return FrameSample(
            number,
            0,
            photo.color,
            photo.color_member,
            photo.camera,
            pose,
            depth,
            photo.measured if tracks is None else len(tracks.ids),
            name=self.model.names[number],
            tracks=tracks,
        )

    def _camera(self, number: int) -> Camera:
        return undistorted_camera(self.model.cameras[number], self.largest_side)

    def _color(self, number: int, camera: Camera) -> tuple[bytes, str, Camera]:
        """The photo's bytes, the tar member they make, and the camera of the stored image."""
        photo = self._undistorted(number, camera)
        if photo is None:
            photo = read_photo(f"{self.scene.photos}/{self.model.names[number]}")
            lens = self.model.cameras[number]
            if photo.size != (lens.width, lens.height):
                found = "{}x{}".format(*photo.size)
                raise DataError(
                    f"the photo has {found} pixels, its camera in the model {lens.width}x{lens.height}.",
                    file=photo.file,
                )
            keep = is_undistorted(lens, self.largest_side)
            pixels = photo.pixels()
            pixels = pixels if keep else undistort_photo(pixels, lens, self.largest_side)
        else:
            keep, pixels = True, photo.pixels()
        stored = _covering(camera, self.parameters.image_size)
        if stored == camera and keep and photo.codec != "other":
            member = schema.COLOR_JPEG if photo.codec == "jpeg" else schema.COLOR_PNG
            return photo.data, member, camera
        pixels = resize_area(pixels, stored.width, stored.height)
        return encode_jpeg(pixels, self.parameters.jpeg_quality), schema.COLOR_JPEG, stored

    def _undistorted(self, number: int, camera: Camera) -> Photo | None:
        """The photo as published undistorted, where it is there and has the size it must have."""
        if not self.scene.undistorted:
            return None
        path = f"{self.scene.undistorted}/{self.model.names[number]}"
        if not _exists(path):
            return None
        photo = read_photo(path)
        return photo if photo.size == (camera.width, camera.height) else None

    def _depth(self, number: int, camera: Camera) -> NDArray[np.float32]:
        name = self.model.names[number]
        if self.scene.depths.endswith("depth_maps"):
            for kind in _COLMAP_DEPTHS:
                path = f"{self.scene.depths}/{name}.{kind}.bin"
                if _exists(path):
                    return _of_this_shape(read_depth_map(path), camera, path)
            raise NoDepth("there is no depth map of this photo.", file=f"{self.scene.depths}/{name}.*.bin")
        stem = name.rsplit(".", 1)[0] if "." in name.rsplit("/", 1)[-1] else name
        path = f"{self.scene.depths}/{stem}.h5"
        if not _exists(path):
            raise NoDepth("there is no depth map of this photo.", file=path)
        return read_h5_depth(path, camera.width, camera.height, self.parameters.least_depth_bytes)

    def _tracks(self, number: int, stored: Camera) -> Tracks:
        part, camera = self.model.seen_by(number), self._camera(number)
        pixels = undistort_points(self.model.pixels[part], self.model.cameras[number], camera)
        scale = np.array([stored.width / camera.width, stored.height / camera.height])
        pixels = (pixels + 0.5) * scale - 0.5
        size = np.array([stored.width, stored.height])
        # Undistortion pushes some points out of the photo, and NaN is nowhere in it.
        inside = ((pixels >= -0.5) & (pixels < size - 0.5)).all(axis=1)
        ids = self.model.points[part][inside]
        return Tracks(ids.astype(np.int32), pixels[inside].astype(np.float32))


def usual_lack(error: DataError) -> bool:
    """Whether a photo is left out for what sound data lack too, and nothing is wrong with a file."""
    return isinstance(error, MaskOnly | NoDepth)


def _depth_like(
    steps: NDArray[np.uint16], camera: Camera, stored: Camera
) -> tuple[NDArray[np.uint16], Camera]:
    """Depth no larger than the stored image, and its camera."""
    height, width = steps.shape
    same = (width, height) == (camera.width, camera.height)
    own = camera if same else camera.resized(width, height)
    if stored == camera or stored.width >= width or stored.height >= height:
        return steps, own
    return resize_nearest(steps, stored.width, stored.height), own.subsampled(stored.width, stored.height)


def _of_this_shape(depth: NDArray[np.float32], camera: Camera, path: str) -> NDArray[np.float32]:
    """COLMAP's stereo may run on scaled-down photos; their shape stays."""
    height, width = depth.shape
    if abs(width * camera.height - height * camera.width) > max(camera.width, camera.height):
        raise DataError(
            f"depth of {width}x{height} pixels is not of a photo of {camera.width}x{camera.height}.",
            file=path,
        )
    return depth


def _covering(camera: Camera, size: tuple[int, int] | None) -> Camera:
    if size is None:
        return camera
    height, width = size
    scale = max(height / camera.height, width / camera.width)
    if scale >= 1.0:
        return camera
    return camera.resized(max(width, round(camera.width * scale)), max(height, round(camera.height * scale)))


def _exists(path: str) -> bool:
    fs, inside = url_to_fs(path)
    return bool(fs.exists(inside))
