"""Chunk boxes: which part of a scene's geometry belongs to a frame (paper, section 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.camera import Camera
from pri3d_data.images import resize_nearest

# The authors' code uses these for every scan, at 320x240, whatever the scan's own calibration says.
REFERENCE_CAMERA = Camera(320, 240, 288.9353025, 288.9353025, 159.5, 119.5)


def frustum_box(
    depth: NDArray[np.uint16], depth_unit_m: float, camera: Camera, depth_to_world: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Axis-aligned bounding box of the view frustum, cut at the nearest and farthest measured depth.

    The frustum ends at the outer borders of the outermost pixels, so every measured point lies inside.

    Args:
        depth: (H, W) uint16 with at least one measured pixel.
        depth_unit_m: metres a step of ``depth`` stands for.
        camera: the depth camera.
        depth_to_world: (4, 4) float64.

    Returns:
        (2, 3) float64, lowest and highest world corner in metres.
    """
    measured = depth[depth > 0]
    near, far = float(measured.min()) * depth_unit_m, float(measured.max()) * depth_unit_m
    u = (np.array([-0.5, camera.width - 0.5]) - camera.cx) / camera.fx
    v = (np.array([-0.5, camera.height - 0.5]) - camera.cy) / camera.fy
    corners = np.array([(x * z, y * z, z) for z in (near, far) for x in u for y in v])
    world = corners @ depth_to_world[:3, :3].T + depth_to_world[:3, 3]
    return np.stack([world.min(axis=0), world.max(axis=0)])


def whole_metre_box(
    depth: NDArray[np.uint16], depth_unit_m: float, camera: Camera, depth_to_world: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The authors' chunk box: all pixels of the 320x240 depth, snapped outwards to whole metres.

    Unmeasured pixels are taken at depth zero, as the authors' script takes them, so the box reaches to the
    camera wherever one pixel is missing; the intrinsics are theirs too and ``camera`` is not used.

    Args and returns: as `frustum_box`.
    """
    del camera
    size = REFERENCE_CAMERA
    z = resize_nearest(depth, size.width, size.height).astype(np.float64) * depth_unit_m
    x = (np.arange(size.width) - size.cx) / size.fx * z
    y = ((np.arange(size.height) - size.cy) / size.fy)[:, None] * z
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    world = points @ depth_to_world[:3, :3].T + depth_to_world[:3, 3]
    return np.stack([np.floor(world.min(axis=0)), np.ceil(world.max(axis=0))])
