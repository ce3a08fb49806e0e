"""Colour of a surface point: a pattern, noise of several sizes, and fixed light from above.

It depends on the point alone, not on who looks, so a point has one colour in every view and on the mesh.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import inline_kernel, kernel
from pri3d_data.synth.room import CHECKER, CYLINDER, PATCHES, SHELL, SHELL_FACES, SPHERE, STRIPES, RoomArrays

_MIX_X = np.uint64(0x9E3779B97F4A7C15)
_MIX_Y = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_S21, _S42, _LOW21 = np.uint64(21), np.uint64(42), np.uint64(0x1FFFFF)


@inline_kernel
def _hash(ix: int, iy: int, seed: int) -> np.uint64:
    h = np.uint64(seed) + np.uint64(ix) * _MIX_X + np.uint64(iy) * _MIX_Y
    h = (h ^ (h >> _S30)) * _MIX_1
    h = (h ^ (h >> _S27)) * _MIX_2
    return h ^ (h >> _S31)


@inline_kernel
def _cell(ix: int, iy: int, seed: int) -> float:
    return float(_hash(ix, iy, seed) >> _S11) * (1.0 / 9007199254740992.0)


@inline_kernel
def _noise(u: float, v: float, seed: int) -> float:
    iu, iv = math.floor(u), math.floor(v)
    fu, fv = u - iu, v - iv
    fu, fv = fu * fu * (3.0 - 2.0 * fu), fv * fv * (3.0 - 2.0 * fv)
    low = _cell(iu, iv, seed) * (1.0 - fu) + _cell(iu + 1, iv, seed) * fu
    high = _cell(iu, iv + 1, seed) * (1.0 - fu) + _cell(iu + 1, iv + 1, seed) * fu
    return low * (1.0 - fv) + high * fv


@inline_kernel
def _tint(u: float, v: float, seed: int) -> tuple[float, float, float]:
    """Three noises from the hashes of one: each takes 21 bits of its own."""
    iu, iv = math.floor(u), math.floor(v)
    fu, fv = u - iu, v - iv
    fu, fv = fu * fu * (3.0 - 2.0 * fu), fv * fv * (3.0 - 2.0 * fv)
    red, green, blue = 0.0, 0.0, 0.0
    for corner in range(4):
        right, up = corner & 1, corner >> 1
        weight = (fu if right else 1.0 - fu) * (fv if up else 1.0 - fv) * (1.0 / 2097152.0)
        h = _hash(iu + right, iv + up, seed)
        red += weight * float(h & _LOW21)
        green += weight * float((h >> _S21) & _LOW21)
        blue += weight * float((h >> _S42) & _LOW21)
    return red, green, blue


@inline_kernel
def _pattern(kind: int, u: float, v: float, seed: int) -> float:
    iu, iv = math.floor(u), math.floor(v)
    if kind == CHECKER:
        return 0.7 * ((iu + iv) & 1) + 0.3 * _cell(iu, iv, seed)
    if kind == STRIPES:
        # Long cells, shifted from stripe to stripe like floor boards.
        along = math.floor(v / 5.0 + 7.0 * _cell(iu, 0, seed))
        return _cell(iu, along, seed)
    if kind == PATCHES:
        return _cell(iu, iv, seed)
    return 0.3


@inline_kernel
def _coordinates(shape: int, face: int, x: float, y: float, z: float, radius: float) -> tuple[float, float]:
    if shape == SPHERE:
        return math.atan2(y, x) * radius, math.asin(min(1.0, max(-1.0, z / radius))) * radius
    if shape == CYLINDER and face == 0:
        return math.atan2(y, x) * radius, z
    if face < 2:
        return y, z
    if face < 4:
        return x, z
    return x, y


@inline_kernel
def _light(shape: int, face: int, x: float, y: float, z: float, turn: NDArray[np.float64]) -> float:
    nx, ny, nz = 0.0, 0.0, 0.0
    if shape == SPHERE or (shape == CYLINDER and face == 0):
        nz = z if shape == SPHERE else 0.0
        length = math.sqrt(x * x + y * y + nz * nz)
        nx, ny, nz = x / length, y / length, nz / length
    else:
        side = (2.0 * (face & 1) - 1.0) * (-1.0 if shape == SHELL else 1.0)
        nx, ny, nz = side * (face < 2), side * (2 <= face < 4), side * (face >= 4)
    wx, wy = turn[0] * nx - turn[1] * ny, turn[1] * nx + turn[0] * ny
    level: float = 0.82 + 0.1 * wx + 0.06 * wy + 0.13 * nz
    return level


@kernel
def surface_colors(
    room: RoomArrays, points_world: NDArray[np.float64], surface: NDArray[np.uint16], face: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Colours of points that lie on known surfaces.

    Args:
        room: the room.
        points_world: (N, 3) float64, metres, on the surface.
        surface: (N,) uint16 surface numbers. face: (N,) uint8 face numbers. See `RoomArrays`.

    Returns:
        (N, 3) uint8 RGB.
    """
    colors = np.empty((points_world.shape[0], 3), np.uint8)
    for i in range(points_world.shape[0]):
        row = int(surface[i])
        solid = 0 if row < SHELL_FACES else row - SHELL_FACES + 1
        side = int(face[i])
        dx = points_world[i, 0] - room.center_world[solid, 0]
        dy = points_world[i, 1] - room.center_world[solid, 1]
        z = points_world[i, 2] - room.center_world[solid, 2]
        c, s = room.turn[solid, 0], room.turn[solid, 1]
        x, y = c * dx + s * dy, c * dy - s * dx
        shape = room.shape[solid]
        u, v = _coordinates(shape, side, x, y, z, room.half_m[solid, 0])
        seed = room.seed[row] + 8191 * side
        coarse = _noise(u * 3.1, v * 3.1, seed + 1)
        middle = _noise(u * 11.3, v * 11.3, seed + 2)
        fine = _noise(u * 37.0, v * 37.0, seed + 3)
        scale = 1.0 / room.scale_m[row]
        mix = 0.75 * _pattern(room.pattern[row], u * scale, v * scale, seed) + 0.5 * (middle - 0.5)
        mix = min(1.0, max(0.0, mix + 0.4 * (coarse - 0.5)))
        level = 0.6 + 0.3 * coarse + 0.3 * middle + 0.25 * fine
        level *= _light(shape, side, x, y, z, room.turn[solid])
        tint = _tint(u * 4.7, v * 4.7, seed + 4)
        for k in range(3):
            value = (room.base[row, k] * (1.0 - mix) + room.accent[row, k] * mix) * level
            value *= 0.86 + 0.28 * tint[k]
            colors[i, k] = int(min(255.0, max(0.0, 255.0 * value + 0.5)))
    return colors
