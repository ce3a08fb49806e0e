"""A solid's faces as grids of points that lie exactly on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.synth.room import CYLINDER, SPHERE


class Patch(NamedTuple):
    """A grid on one face, in the solid's own axes.

    Attributes:
        points_m, normals: (A, B, 3) float64; normals point away from the solid's inside.
        face: face number as of `RoomArrays`.
    """

    points_m: NDArray[np.float64]
    normals: NDArray[np.float64]
    face: int


def solid_patches(shape: int, half_m: NDArray[np.float64], spacing_m: float) -> list[Patch]:
    """Grids that cover a solid, neighbours at most ``spacing_m`` apart along the surface."""
    if shape == SPHERE:
        return [_sphere(half_m[0], face, spacing_m) for face in range(6)]
    if shape == CYLINDER:
        caps = [_disc(half_m, face, spacing_m) for face in (4, 5)]
        return [_tube(half_m, spacing_m), *caps]
    return [_rectangle(half_m, face, spacing_m) for face in range(6)]


def _line(half: float, length_m: float, spacing_m: float) -> NDArray[np.float64]:
    return np.linspace(-half, half, max(1, int(np.ceil(length_m / spacing_m))) + 1)


def _normal(face: int) -> NDArray[np.float64]:
    normal = np.zeros(3)
    normal[face // 2] = 2.0 * (face % 2) - 1.0
    return normal


def _on_face(
    first: NDArray[np.float64], second: NDArray[np.float64], level: float, face: int
) -> NDArray[np.float64]:
    """(A, B) coordinates along the two axes that lie in a face, and its level along the third."""
    points = np.empty((*first.shape, 3))
    axis = face // 2
    points[..., axis] = level * (2.0 * (face % 2) - 1.0)
    points[..., (axis + 1) % 3], points[..., (axis + 2) % 3] = first, second
    return points


def _rectangle(half_m: NDArray[np.float64], face: int, spacing_m: float) -> Patch:
    axis = face // 2
    sides = half_m[(axis + 1) % 3], half_m[(axis + 2) % 3]
    lines = [_line(side, 2.0 * side, spacing_m) for side in sides]
    first, second = np.meshgrid(*lines, indexing="ij")
    points = _on_face(first, second, half_m[axis], face)
    return Patch(points, np.broadcast_to(_normal(face), points.shape), face)


def _disc(half_m: NDArray[np.float64], face: int, spacing_m: float) -> Patch:
    # A square bent to a disc keeps grid topology; bending stretches cells by at most pi / 2.
    line = _line(1.0, np.pi * half_m[0], spacing_m)
    a, b = np.meshgrid(line, line, indexing="ij")
    wide = np.abs(a) >= np.abs(b)
    radius = half_m[0] * np.where(wide, a, b)
    ratio = np.divide(np.where(wide, b, a), np.where(wide, a, b), out=np.zeros_like(a), where=radius != 0.0)
    angle = np.where(wide, np.pi / 4 * ratio, np.pi / 2 - np.pi / 4 * ratio)
    points = _on_face(radius * np.cos(angle), radius * np.sin(angle), half_m[2], face)
    return Patch(points, np.broadcast_to(_normal(face), points.shape), face)


def _tube(half_m: NDArray[np.float64], spacing_m: float) -> Patch:
    around = np.linspace(-np.pi, np.pi, max(8, int(np.ceil(2.0 * np.pi * half_m[0] / spacing_m))) + 1)
    angle, z = np.meshgrid(around, _line(half_m[2], 2.0 * half_m[2], spacing_m), indexing="ij")
    normals = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)
    return Patch(normals * half_m[0] + z[..., None] * np.array([0.0, 0.0, 1.0]), normals, 0)


def _sphere(radius_m: float, face: int, spacing_m: float) -> Patch:
    # Equal angles on each side of a cube around it; arcs are at most pi / 2 long.
    line = np.tan(_line(np.pi / 4, np.pi / 2 * radius_m, spacing_m))
    first, second = np.meshgrid(line, line, indexing="ij")
    cube = _on_face(first, second, 1.0, face)
    normals = cube / np.linalg.norm(cube, axis=-1, keepdims=True)
    return Patch(normals * radius_m, normals, 0)
