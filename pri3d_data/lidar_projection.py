"""A lidar scan as the depth image of a camera beside it: nearest point wins, what shines through goes.

The scanner looks from another place than the camera, so it measures background that the camera cannot see;
projected, such points fall between the points of whatever hides them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import inline_kernel, kernel


@kernel
def project_scan(
    points_lidar: NDArray[np.float32],
    lidar_to_camera: NDArray[np.float64],
    camera: NDArray[np.float64],
    width: int,
    height: int,
    depth_unit_m: float,
) -> NDArray[np.uint16]:
    """The depth image of a scan.

    Args:
        points_lidar: (N, 3) or (N, 4) float32, x y z in metres in the scanner's frame; points that are not
            finite are left out.
        lidar_to_camera: (4, 4) float64.
        camera: (4,) float64 fx, fy, cx, cy in pixels, pixel centres at integers.
        width, height: of the image, pixels.
        depth_unit_m: metres a step of the result stands for.

    Returns:
        (height, width) uint16 depth along the camera's axis, rounded to steps, of the nearest point on each
        pixel; 0 where there is none. Points nearer than one step or beyond 65535 steps are left out.
    """
    depth = np.zeros((height, width), dtype=np.uint16)
    m = lidar_to_camera
    for i in range(points_lidar.shape[0]):
        x, y, z = float(points_lidar[i, 0]), float(points_lidar[i, 1]), float(points_lidar[i, 2])
        cz = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        steps = np.floor(cz / depth_unit_m + 0.5)
        # Written so that a NaN fails.
        if not (steps >= 1.0 and steps <= 65535.0):
            continue
        cx = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
        cy = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
        column = np.floor(camera[0] * cx / cz + camera[2] + 0.5)
        row = np.floor(camera[1] * cy / cz + camera[3] + 0.5)
        if not (column >= 0.0 and row >= 0.0 and column < width and row < height):
            continue
        u, v, step = int(column), int(row), np.uint16(steps)
        if depth[v, u] == 0 or step < depth[v, u]:
            depth[v, u] = step
    return depth


@kernel
def without_hidden(
    depth: NDArray[np.uint16], rows: int, columns: int, share: float = 0.1
) -> NDArray[np.uint16]:
    """A projected scan without the points that a nearer surface hides from the camera.

    A point is hidden where clearly nearer points lie on both sides of it, above and below or left and right:
    it shows through the gaps of a surface, or just past its last points, which a surface always reaches
    beyond. Slanted ground stays, whose next row is nearer on one side and farther on the other, and so does
    what stands farther from an edge than the scan's points do from each other.

    Args:
        depth: (H, W) uint16, 0 where nothing was measured.
        rows, columns: how far to look for the surface, pixels: about the scan's spacing in the image.
        share: a point is clearly nearer if its depth is below (1 - share) of the other's.

    Returns:
        (H, W) uint16, a copy with hidden points set to 0.
    """
    height, width = depth.shape
    seen = depth.copy()
    for v in range(height):
        for u in range(width):
            if depth[v, u] == 0:
                continue
            limit = depth[v, u] * (1.0 - share)
            above = _nearer(depth, v - rows, v, u - columns, u + columns + 1, limit)
            if above and _nearer(depth, v + 1, v + rows + 1, u - columns, u + columns + 1, limit):
                seen[v, u] = 0
                continue
            left = _nearer(depth, v - columns, v + columns + 1, u - rows, u, limit)
            if left and _nearer(depth, v - columns, v + columns + 1, u + 1, u + rows + 1, limit):
                seen[v, u] = 0
    return seen


@inline_kernel
def _nearer(depth: NDArray[np.uint16], top: int, bottom: int, left: int, right: int, limit: float) -> bool:
    for v in range(max(top, 0), min(bottom, depth.shape[0])):
        for u in range(max(left, 0), min(right, depth.shape[1])):
            if depth[v, u] != 0 and depth[v, u] < limit:
                return True
    return False
