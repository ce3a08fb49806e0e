"""Pixel–pixel matches of two frames: pixels that see the same 3D point (paper, section 3.1).

A pixel of frame a is taken to the world by its depth, projected into frame b, and matches the pixel it falls
on if that one was measured and the two measurements agree. The same must hold on the way back, so a surface
hidden from either camera never matches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import inline_kernel, kernel

DISTANCE, DEPTH, RELATIVE_DEPTH = 0, 1, 2


class View(NamedTuple):
    """What matching needs of one frame.

    Attributes:
        depth: (H, W) uint16, 0 where nothing was measured.
        depth_unit: what a step of ``depth`` stands for in the scene's unit of length, metres if it has one.
        depth_camera: (4,) float64 fx, fy, cx, cy of the depth image.
        depth_to_world: (4, 4) float64.
        camera: (4,) float64 of the colour image that matches are given in.
        camera_to_world: (4, 4) float64 of the colour camera.
        width, height: pixels of the colour image.
    """

    depth: NDArray[np.uint16]
    depth_unit: float
    depth_camera: NDArray[np.float64]
    depth_to_world: NDArray[np.float64]
    camera: NDArray[np.float64]
    camera_to_world: NDArray[np.float64]
    width: int
    height: int


class Agreement(NamedTuple):
    """When two measurements are of the same point.

    Attributes:
        kind: `DISTANCE`: the points are no farther apart than ``tolerance``. `DEPTH`: their distances along
            the axis of the camera they are compared in differ by no more. `RELATIVE_DEPTH`: by no more than
            ``tolerance`` times the one measured there, which holds in any unit of length.
        tolerance: in the scene's unit of length; a share for `RELATIVE_DEPTH`.
    """

    kind: int
    tolerance: float


@kernel
def sample_matches(a: View, b: View, agreement: Agreement, limit: int, seed: int) -> NDArray[np.int16]:
    """A random sample, without replacement, of the matches of two frames.

    Pixels of a are tried in a pseudo-random order until enough match, so the cost follows ``limit`` rather
    than the image's size, and every match is equally likely.

    Args:
        a, b: the frames.
        agreement: when two measurements are of the same point (the paper: a distance of 0.02 m).
        limit: most matches to return; the number of pixels of a's depth gives all of them.
        seed: chooses the order; the same seed gives the same sample.

    Returns:
        (M, 4) int16, columns x_a, y_a, x_b, y_b: colour pixels. M ≤ limit, 0 where nothing matches.
    """
    height, width = a.depth.shape
    pixels = height * width
    bits = bits_for(pixels)
    a_to_b = between(a.depth_to_world, b.depth_to_world)
    b_to_a = between(b.depth_to_world, a.depth_to_world)
    a_to_color = between(a.depth_to_world, a.camera_to_world)
    b_to_color = between(b.depth_to_world, b.camera_to_world)
    found = 0
    matches = np.empty((min(limit, pixels), 4), dtype=np.int16)
    for step in range(1 << bits):
        if found >= limit:
            break
        pixel = scrambled(step, bits, seed)
        if pixel >= pixels:
            continue
        row = pixel // width
        column = pixel - row * width
        if a.depth[row, column] == 0:
            continue
        ax, ay, az = point_at(a.depth, a.depth_unit, a.depth_camera, row, column)
        px, py, pz = moved(a_to_b, ax, ay, az)
        there, b_row, b_column = pixel_of(px, py, pz, b.depth_camera, b.depth.shape[1], b.depth.shape[0])
        if not there or b.depth[b_row, b_column] == 0:
            continue
        bx, by, bz = point_at(b.depth, b.depth_unit, b.depth_camera, b_row, b_column)
        if not _agree(agreement, px - bx, py - by, pz - bz, bz):
            continue
        qx, qy, qz = moved(b_to_a, bx, by, bz)
        back, a_row, a_column = pixel_of(qx, qy, qz, a.depth_camera, width, height)
        if not back or a.depth[a_row, a_column] == 0:
            continue
        cx, cy, cz = point_at(a.depth, a.depth_unit, a.depth_camera, a_row, a_column)
        if not _agree(agreement, qx - cx, qy - cy, qz - cz, cz):
            continue
        ux, uy, uz = moved(a_to_color, ax, ay, az)
        in_a, ya, xa = pixel_of(ux, uy, uz, a.camera, a.width, a.height)
        vx, vy, vz = moved(b_to_color, bx, by, bz)
        in_b, yb, xb = pixel_of(vx, vy, vz, b.camera, b.width, b.height)
        if in_a and in_b:
            matches[found, 0] = xa
            matches[found, 1] = ya
            matches[found, 2] = xb
            matches[found, 3] = yb
            found += 1
    return matches[:found]


@inline_kernel
def bits_for(count: int) -> int:
    """Bits that `scrambled` needs to reach every number below ``count``."""
    bits = 1
    while (1 << bits) < count:
        bits += 1
    return bits


@inline_kernel
def scrambled(value: int, bits: int, seed: int) -> int:
    """Where ``seed`` sends a number: a bijection of [0, 2^bits), so counting up visits each number once."""
    # Xor-shifts and odd multipliers are each invertible modulo 2^bits.
    mask = np.uint64((1 << bits) - 1)
    half = np.uint64(bits // 2 + 1)
    mixed = np.uint64(seed)
    x = np.uint64(value) ^ (mixed & mask)
    for _ in range(3):
        mixed = mixed * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        x = (x * ((mixed >> np.uint64(32)) | np.uint64(1)) + (mixed >> np.uint64(17))) & mask
        x ^= x >> half
    return np.int64(x)  # type: ignore[return-value]


@inline_kernel
def between(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rigid transform (3, 4) from one camera to another, given both to world: R_t^T (R_s x + t_s - t_t)."""
    out = np.empty((3, 4), dtype=np.float64)
    for i in range(3):
        for j in range(3):
            out[i, j] = (
                target[0, i] * source[0, j] + target[1, i] * source[1, j] + target[2, i] * source[2, j]
            )
        out[i, 3] = (
            target[0, i] * (source[0, 3] - target[0, 3])
            + target[1, i] * (source[1, 3] - target[1, 3])
            + target[2, i] * (source[2, 3] - target[2, 3])
        )
    return out


@inline_kernel
def moved(m: NDArray[np.float64], x: float, y: float, z: float) -> tuple[float, float, float]:
    """A point taken through the first three rows of a rigid transform."""
    return (
        m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3],
        m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3],
        m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3],
    )


@inline_kernel
def _agree(agreement: Agreement, dx: float, dy: float, dz: float, measured: float) -> bool:
    tolerance = agreement.tolerance
    if agreement.kind == DISTANCE:
        return dx * dx + dy * dy + dz * dz <= tolerance * tolerance
    return abs(dz) <= (tolerance * measured if agreement.kind == RELATIVE_DEPTH else tolerance)


@inline_kernel
def point_at(
    depth: NDArray[np.uint16], unit: float, camera: NDArray[np.float64], row: int, column: int
) -> tuple[float, float, float]:
    """The point of a depth pixel in its camera, in the unit of length that ``unit`` is given in."""
    z = depth[row, column] * unit
    return (column - camera[2]) / camera[0] * z, (row - camera[3]) / camera[1] * z, z


@inline_kernel
def pixel_of(
    x: float, y: float, z: float, camera: NDArray[np.float64], width: int, height: int
) -> tuple[bool, int, int]:
    """Whether a point falls on a pixel of a camera's image, and that pixel's row and column."""
    if z <= 0.0:
        return False, 0, 0
    column = np.floor(camera[0] * x / z + camera[2] + 0.5)
    row = np.floor(camera[1] * y / z + camera[3] + 0.5)
    if column < 0 or row < 0 or column >= width or row >= height:
        return False, 0, 0
    return True, np.int64(row), np.int64(column)  # type: ignore[return-value]
