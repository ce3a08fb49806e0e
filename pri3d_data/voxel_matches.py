"""Pixel–voxel matches: pixels of a frame and the voxels of its chunk they lie in (paper, section 3.2).

`sample_voxel_matches` is the paper's rule, `sample_projected_voxels` the authors' code's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import inline_kernel, kernel
from pri3d_data.matches import View, between, bits_for, moved, pixel_of, point_at, scrambled

# A point farther out than this many voxels is beside every grid, and would not fit the integers below.
_FARTHEST = float(1 << 30)


@kernel
def sample_voxel_matches(
    view: View, voxels: NDArray[np.int32], voxel_m: float, radius_m: float, limit: int, seed: int
) -> NDArray[np.int32]:
    """A random sample, without replacement, of a frame's pixels that lie on a voxel (paper, section 3.2).

    A measured depth pixel's world point matches the voxel whose centre is nearest, if that lies within the
    radius; of two equally near the first in order. Depth pixels are tried in a pseudo-random order until
    enough match, as in `matches.sample_matches`.

    Args:
        view: the frame.
        voxels: (C, 3) int32 in lexicographic order, each coordinate within ±2^20; the centre of voxel
            (i, j, k) is (i + ½, j + ½, k + ½) · voxel_m of the world.
        voxel_m: edge of a voxel in metres.
        radius_m: farthest a voxel's centre may be (the paper: 0.02).
        limit: most matches to return; the number of depth pixels gives all of them.
        seed: chooses the order; the same seed gives the same sample.

    Returns:
        (K, 3) int32, columns x, y of the colour pixel and row of ``voxels``. K ≤ limit, 0 where none match.
    """
    height, width = view.depth.shape
    pixels = height * width
    matches = np.empty((max(min(limit, pixels), 0), 3), dtype=np.int32)
    if len(voxels) == 0:
        return matches[:0]
    slabs = _slabs(voxels)
    bits = bits_for(pixels)
    to_color = between(view.depth_to_world, view.camera_to_world)
    found = 0
    for step in range(1 << bits):
        if found >= limit:
            break
        pixel = scrambled(step, bits, seed)
        if pixel >= pixels:
            continue
        row = pixel // width
        column = pixel - row * width
        if view.depth[row, column] == 0:
            continue
        x, y, z = point_at(view.depth, view.depth_unit, view.depth_camera, row, column)
        ux, uy, uz = moved(to_color, x, y, z)
        inside, color_row, color_column = pixel_of(ux, uy, uz, view.camera, view.width, view.height)
        if not inside:
            continue
        wx, wy, wz = moved(view.depth_to_world, x, y, z)
        voxel = _nearest(voxels, slabs, voxel_m, radius_m, wx, wy, wz)
        if voxel >= 0:
            matches[found, 0] = color_column
            matches[found, 1] = color_row
            matches[found, 2] = voxel
            found += 1
    return matches[:found]


@kernel
def sample_projected_voxels(
    view: View, voxels: NDArray[np.int32], voxel_m: float, tolerance_m: float, limit: int, seed: int
) -> NDArray[np.int32]:
    """The authors' variant: voxels whose corner falls on a pixel of about the same depth.

    The voxel's lowest corner (its integer coordinate times the edge, not its centre) is projected into the
    depth image and matches the pixel its projection truncates to, if that one's depth agrees. Other than in
    the authors' code the corner must lie in front of the camera and the pixel must have been measured:
    without that, unmeasured pixels match whatever lies within the tolerance of the camera's plane, and
    voxels behind the camera match too. Colour pixels are truncated as well. Voxels are tried in a
    pseudo-random order until enough match; several may share a pixel.

    Args:
        view, voxels, voxel_m, limit, seed: as of `sample_voxel_matches`; the number of voxels as the limit
            gives all matches.
        tolerance_m: depths must differ by less (the authors: 0.20).

    Returns:
        (K, 3) int32, columns x, y of the colour pixel and row of ``voxels``. K ≤ limit, 0 where none match.
    """
    height, width = view.depth.shape
    count = len(voxels)
    matches = np.empty((max(min(limit, count), 0), 3), dtype=np.int32)
    bits = bits_for(count)
    world = np.eye(4)
    to_depth = between(world, view.depth_to_world)
    to_color = between(world, view.camera_to_world)
    found = 0
    for step in range(1 << bits):
        if found >= limit:
            break
        voxel = scrambled(step, bits, seed)
        if voxel >= count:
            continue
        wx, wy, wz = voxels[voxel, 0] * voxel_m, voxels[voxel, 1] * voxel_m, voxels[voxel, 2] * voxel_m
        x, y, z = moved(to_depth, wx, wy, wz)
        inside, row, column = _truncated(x, y, z, view.depth_camera, width, height)
        if not inside or view.depth[row, column] == 0:
            continue
        if not abs(z - view.depth[row, column] * view.depth_unit) < tolerance_m:
            continue
        ux, uy, uz = moved(to_color, wx, wy, wz)
        inside, row, column = _truncated(ux, uy, uz, view.camera, view.width, view.height)
        if inside:
            matches[found, 0] = column
            matches[found, 1] = row
            matches[found, 2] = voxel
            found += 1
    return matches[:found]


@inline_kernel
def _truncated(
    x: float, y: float, z: float, camera: NDArray[np.float64], width: int, height: int
) -> tuple[bool, int, int]:
    if not z > 0.0:
        return False, 0, 0
    column = camera[0] * x / z + camera[2]
    row = camera[1] * y / z + camera[3]
    if not (column >= 0.0 and row >= 0.0 and column < width and row < height):
        return False, 0, 0
    return True, int(row), int(column)


@inline_kernel
def _slabs(voxels: NDArray[np.int32]) -> NDArray[np.int32]:
    # Where the voxels of each x start, from the first x on; the last entry is their number. Whatever the
    # order they come in, every entry is filled with a row there is.
    first, last = voxels[0, 0], voxels[-1, 0]
    starts = np.empty(max(last - first, 0) + 2, dtype=np.int32)
    at = 0
    for row in range(len(voxels)):
        while at <= min(voxels[row, 0], last) - first:
            starts[at] = row
            at += 1
    starts[at:] = len(voxels)
    return starts


@inline_kernel
def _nearest(
    voxels: NDArray[np.int32],
    slabs: NDArray[np.int32],
    voxel_m: float,
    radius_m: float,
    x: float,
    y: float,
    z: float,
) -> int:
    # The row of the voxel whose centre is nearest to a point, -1 where none lies within the radius.
    if not (max(abs(x), abs(y), abs(z)) + radius_m < _FARTHEST * voxel_m):
        return -1
    first = int(voxels[0, 0])
    last = first + len(slabs) - 2
    own_x, own_y = int(np.floor(x / voxel_m)), int(np.floor(y / voxel_m))
    own_z = np.floor(z / voxel_m)
    nearest, best = -1, radius_m * radius_m
    # The point's own column first: what it finds rules out most of the others before they are searched.
    if first <= own_x <= last:
        dx, dy = (own_x + 0.5) * voxel_m - x, (own_y + 0.5) * voxel_m - y
        across = dx * dx + dy * dy
        start, end = slabs[own_x - first], slabs[own_x - first + 1]
        nearest, best = _nearer(voxels, start, end, own_y, own_z, voxel_m, z, across, nearest, best)
    low_x = max(first, int(np.floor((x - radius_m) / voxel_m - 0.5)))
    high_x = min(last, int(np.ceil((x + radius_m) / voxel_m - 0.5)))
    low_y = int(np.floor((y - radius_m) / voxel_m - 0.5))
    high_y = int(np.ceil((y + radius_m) / voxel_m - 0.5))
    for i in range(low_x, high_x + 1):
        dx = (i + 0.5) * voxel_m - x
        start, end = slabs[i - first], slabs[i - first + 1]
        if dx * dx > best or start >= end:
            continue
        for j in range(max(low_y, voxels[start, 1]), min(high_y, voxels[end - 1, 1]) + 1):
            dy = (j + 0.5) * voxel_m - y
            across = dx * dx + dy * dy
            if across > best or (i == own_x and j == own_y):
                continue
            nearest, best = _nearer(voxels, start, end, j, own_z, voxel_m, z, across, nearest, best)
    return nearest


@inline_kernel
def _nearer(
    voxels: NDArray[np.int32],
    start: int,
    end: int,
    column_y: int,
    own_z: float,
    voxel_m: float,
    z: float,
    across: float,
    nearest: int,
    best: float,
) -> tuple[int, float]:
    # The best so far or, if nearer, one of rows start to end with this y. Only the first voxel not below the
    # point's own and the one before it can be, whatever the radius.
    low, high = start, end
    while low < high:
        middle = (low + high) >> 1
        here = voxels[middle, 1]
        if here < column_y or (here == column_y and voxels[middle, 2] < own_z):
            low = middle + 1
        else:
            high = middle
    for row in range(max(low - 1, start), min(low + 1, end)):
        if voxels[row, 1] != column_y:
            continue
        dz = (voxels[row, 2] + 0.5) * voxel_m - z
        apart = across + dz * dz
        if apart < best or (apart == best and (nearest < 0 or row < nearest)):
            nearest, best = row, apart
    return nearest, best
