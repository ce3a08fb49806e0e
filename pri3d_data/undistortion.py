"""Photos freed of lens distortion, pixel for pixel as COLMAP's own undistortion frees them.

The undistorted camera keeps the focal length and is cut so that no pixel lies outside the photo; with a
largest side it is scaled down to it, never up. A photo whose camera has no distortion and the right size is
left alone.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pri3d_data.camera import Camera
from pri3d_data.colmap.camera import ColmapCamera
from pri3d_data.colmap.library import colmap


def undistorted_camera(camera: ColmapCamera, largest_side: int | None = None) -> Camera:
    """The pinhole camera of the undistorted photo, pixel centres at integers.

    Args:
        camera: the photo's.
        largest_side: pixels that the longer side may have at most; None sets no limit.

    Raises:
        ValueError: COLMAP cannot undistort this camera.
    """
    if is_undistorted(camera, largest_side):
        return cast("Camera", camera.pinhole)
    return _ours(colmap().undistort_camera(_options(largest_side), _theirs(camera)))


def is_undistorted(camera: ColmapCamera, largest_side: int | None = None) -> bool:
    """Whether undistorting would change nothing, so that a photo's own bytes can be kept."""
    fits = largest_side is None or max(camera.width, camera.height) <= largest_side
    return camera.pinhole is not None and fits


def undistort_photo(
    pixels: NDArray[np.uint8], camera: ColmapCamera, largest_side: int | None = None
) -> NDArray[np.uint8]:
    """The photo as `undistorted_camera` sees it.

    Args:
        pixels: (height, width, 3) uint8 RGB, of the camera's size.
        camera, largest_side: as of `undistorted_camera`.

    Returns:
        (height, width, 3) uint8 RGB of the undistorted camera's size.

    Raises:
        ValueError: the photo has another size than its camera, or COLMAP cannot undistort it.
    """
    if pixels.shape != (camera.height, camera.width, 3):
        found = "x".join(map(str, pixels.shape[1::-1]))
        raise ValueError(f"the photo has {found} pixels, its camera {camera.width}x{camera.height}")
    if is_undistorted(camera, largest_side):
        return pixels
    bitmap = colmap().Bitmap.from_array(np.ascontiguousarray(pixels))
    undistorted, _ = colmap().undistort_image(_options(largest_side), bitmap, _theirs(camera))
    return cast("NDArray[np.uint8]", undistorted.to_array())


def undistort_points(
    pixels: NDArray[np.float64], camera: ColmapCamera, undistorted: Camera
) -> NDArray[np.float64]:
    """Where points of a photo lie in the undistorted one.

    Args:
        pixels: (N, 2) float64 x, y in the photo, pixel centres at integers.
        camera: the photo's. undistorted: what `undistorted_camera` made of it.

    Returns:
        (N, 2) float64 x, y; NaN for a point beyond what the camera model can undo.
    """
    if camera.pinhole is not None:
        rays = (pixels - camera.pinhole.vector[2:]) / camera.pinhole.vector[:2]
    else:
        rays = np.asarray(_theirs(camera).cam_from_img(pixels + 0.5), dtype=np.float64).reshape(-1, 2)
    return rays * undistorted.vector[:2] + undistorted.vector[2:]


def _options(largest_side: int | None) -> Any:
    options = colmap().UndistortCameraOptions()
    options.max_image_size = -1 if largest_side is None else largest_side
    return options


def _theirs(camera: ColmapCamera) -> Any:
    return colmap().Camera(
        model=camera.model, width=camera.width, height=camera.height, params=list(camera.params)
    )


def _ours(camera: Any) -> Camera:
    fx, fy, cx, cy = map(float, camera.params)
    return Camera(int(camera.width), int(camera.height), fx, fy, cx - 0.5, cy - 0.5)
