"""Folders of colour images, registered depth images and poses: 7-Scenes, TUM RGB-D, Open3D and what is alike.

`pri3d_data.rgbd_layout` finds the files, this reads them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.camera import Camera
from pri3d_data.capture import Codec, EncodedImage, Frame, LostFrame, Surface
from pri3d_data.errors import DataError
from pri3d_data.images import decode_depth_png, png_size
from pri3d_data.ply import read_ply_vertices
from pri3d_data.rgbd_layout import RgbdFiles, RgbdScene, list_files

# Kinect writes this where it measured nothing.
_NOTHING = 65535
_NO_POSE = "no pose: tracking was lost, or none is given for its time"


class RgbdFolderCapture:
    """One opened folder, a `capture.Capture`.

    Args:
        scene: where its files lie.
        stride: every how-many-th frame to take.
        depth_unit_m: metres a step of its depth images stands for.
        intrinsics: (fx, fy, cx, cy) of the colour image in pixels; None reads the folder's camera file.

    Raises:
        DataError: files are missing or broken, or nothing says what the camera's intrinsics are.
    """

    def __init__(
        self,
        scene: RgbdScene,
        stride: int,
        depth_unit_m: float,
        intrinsics: tuple[float, float, float, float] | None = None,
    ) -> None:
        self._depth_unit_m = depth_unit_m
        found = list_files(scene)
        self._files: dict[int, RgbdFiles] = {}
        self._frames: list[Frame] = []
        self._lost: list[LostFrame] = []
        self._mesh = scene.mesh
        cameras: tuple[Camera, Camera] | None = None
        for files in found[::stride]:
            if files.pose is None:
                self._lost.append(LostFrame(files.frame, files.color, 0, _NO_POSE))
                continue
            if cameras is None:
                cameras = _cameras(scene, files, intrinsics)
            self._files[files.frame] = files
            color, depth = cameras
            name = files.color.removeprefix(scene.folder).lstrip("/")
            time_us = files.timestamp_us
            self._frames.append(Frame(files.frame, time_us, color, files.pose, depth, files.pose, name))

    @property
    def frames(self) -> Sequence[Frame]:
        """Frames with a pose, at the stride."""
        return self._frames

    @property
    def lost(self) -> Sequence[LostFrame]:
        """Frames without a pose."""
        return self._lost

    @property
    def depth_unit_m(self) -> float:
        """Metres a depth step stands for, as the user said."""
        return self._depth_unit_m

    def color(self, frame: Frame) -> EncodedImage:
        """The frame's image file."""
        file = self._files[frame.index].color
        data = _read(file)
        codec: Codec = "png" if data.startswith(b"\x89PNG") else "jpeg"
        return EncodedImage(data, codec, frame.camera.width, frame.camera.height, file, 0)

    def depth(self, frame: Frame) -> NDArray[np.uint16]:
        """(height, width) uint16; 0 where the file has 0 or 65535."""
        file = self._files[frame.index].depth
        assert frame.depth_camera is not None
        try:
            depth = decode_depth_png(_read(file))
        except ValueError as error:
            raise DataError(f"is no depth image ({error}).", file=file, frame=frame.index) from error
        size = (frame.depth_camera.height, frame.depth_camera.width)
        if depth.shape != size:
            raise DataError(
                f"is {depth.shape[1]}x{depth.shape[0]}, the first depth image is {size[1]}x{size[0]}.",
                file=file,
                frame=frame.index,
            )
        depth[depth == _NOTHING] = 0
        return depth

    def labels(self, frame: Frame) -> NDArray[np.uint16] | None:
        """None: these folders have no labels."""
        return None

    def surface(self) -> Surface | None:
        """The vertices of the folder's ``mesh.ply``, None without one."""
        return read_ply_vertices(self._mesh) if self._mesh else None

    def __enter__(self) -> RgbdFolderCapture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def _cameras(
    scene: RgbdScene, files: RgbdFiles, intrinsics: tuple[float, float, float, float] | None
) -> tuple[Camera, Camera]:
    """Of the colour images, and of the depth images registered to them, which may be of another size."""
    values = intrinsics or _intrinsics(scene)
    color = Camera(*_color_size(files.color), *values)
    try:
        depth_size = png_size(_read(files.depth))
    except ValueError as error:
        raise DataError(f"is no depth image ({error}).", file=files.depth) from error
    return color, color.resized(*depth_size)


def _color_size(file: str) -> tuple[int, int]:
    data = np.frombuffer(_read(file), np.uint8)
    # Cameras' orientation tags turn the picture, not what the intrinsics mean.
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DataError("is no image that can be decoded.", file=file)
    return int(image.shape[1]), int(image.shape[0])


def _intrinsics(scene: RgbdScene) -> tuple[float, float, float, float]:
    remedy = "Say --intrinsics fx,fy,cx,cy, or put a 3x3 matrix into intrinsics.txt."
    if not scene.camera:
        raise DataError("nothing says what the camera's intrinsics are.", file=scene.folder, remedy=remedy)
    text = _read(scene.camera).decode("utf-8", "replace")
    try:
        if scene.camera.endswith(".json"):
            about = json.loads(text)
            # Open3D writes the matrix column by column.
            k = np.asarray(about["intrinsic_matrix"], dtype=np.float64).reshape(3, 3).T
        else:
            values = np.array(text.split(), dtype=np.float64)
            if values.size not in (9, 16):
                raise ValueError(f"{values.size} numbers, not 3x3 or 4x4")
            k = values.reshape(-1, 3 if values.size == 9 else 4)
        found = (float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))
        if not (found[0] > 0 and found[1] > 0 and np.isfinite(found).all()):
            raise ValueError("focal lengths that are none")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"is no camera file ({error}).", file=scene.camera, remedy=remedy) from error
    return found


def _read(file: str) -> bytes:
    with ByteSource(file) as source:
        return source.read(0, source.size)
