"""Windows cut out of frames, so that photographs of any size can share a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shards.frames import StoredFrame
from shards.parts import Tracks


def window_around(frame: StoredFrame, x: int, y: int, size: tuple[int, int]) -> StoredFrame:
    """The window of ``size`` (height, width) with a pixel as near to its middle as the image's border allows.

    Where the image is smaller than the window, black is added right of it and below. Cameras, tracks and
    stored matches of the result are in its own pixels; matches outside the window are thereby out of the
    image. The frame itself is not changed.
    """
    height, width = size
    left = _start(x, width, frame.view.width)
    top = _start(y, height, frame.view.height)
    view = frame.view
    shift = np.array([0.0, 0.0, left, top])
    depth, depth_camera = view.depth, view.depth_camera
    # Where both images have one lens, depth outside the window cannot match: searching it would be in vain.
    # Stored matches count the measured pixels of the whole image.
    if frame.match_bits is None and _same_lens(frame):
        depth = np.ascontiguousarray(depth[top : top + height, left : left + width])
        depth_camera = depth_camera - shift
    pixels = frame.image[top : top + height, left : left + width]
    inside = pixels.shape[:2]
    if inside != size:
        image = np.zeros((height, width, 3), np.uint8)
        image[: inside[0], : inside[1]] = pixels
    else:
        image = pixels
    tracks = frame.tracks and Tracks(
        frame.tracks.ids, frame.tracks.pixels - np.array([left, top], np.float32)
    )
    view = view._replace(
        depth=depth,
        depth_camera=depth_camera,
        camera=view.camera - shift,
        width=inside[1],
        height=inside[0],
    )
    return replace(frame, image=image, view=view, tracks=tracks)


def _start(middle: int, window: int, image: int) -> int:
    return max(0, min(middle - window // 2, image - window))


def _same_lens(frame: StoredFrame) -> bool:
    view = frame.view
    return (
        view.depth.shape == (view.height, view.width)
        and _equal(view.depth_camera, view.camera)
        and _equal(view.depth_to_world, view.camera_to_world)
    )


def _equal(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return bool((a == b).all())
