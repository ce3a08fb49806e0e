"""What a camera in a room sees, by exact intersection: depth, surface, colour and labels of every pixel."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import inline_kernel, kernel
from pri3d_data.synth.room import BOX, SHELL_FACES, SPHERE, RoomArrays
from pri3d_data.synth.texture import surface_colors

_TILE = 16


class Rendering(NamedTuple):
    """An image of a room.

    Attributes:
        depth_m: (H, W) float64 depth along the camera's z axis.
        rgb: (H, W, 3) uint8.
        semantic: (H, W) uint16 ScanNet raw category ids.
        instance: (H, W) uint16.
    """

    depth_m: NDArray[np.float64]
    rgb: NDArray[np.uint8]
    semantic: NDArray[np.uint16]
    instance: NDArray[np.uint16]


def render(
    room: RoomArrays,
    camera: NDArray[np.float64],
    width: int,
    height: int,
    camera_to_world: NDArray[np.float64],
) -> Rendering:
    """See the room through a pinhole camera that stands in its free space.

    Args:
        room: the room.
        camera: (4,) float64 fx, fy, cx, cy in pixels, pixel centres at integer coordinates.
        width, height: pixels.
        camera_to_world: (4, 4) float64, OpenCV axes, metres; used as it is, even if not quite a rotation.
    """
    depth, points, surface, face = trace(room, camera, width, height, camera_to_world)
    colors = surface_colors(room, points.reshape(-1, 3), surface.ravel(), face.ravel())
    rgb = colors.reshape(height, width, 3)
    return Rendering(depth, rgb, room.semantic[surface], room.instance[surface])


@inline_kernel
def _exit_shell(
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, half: NDArray[np.float64]
) -> tuple[float, int]:
    best, face = np.inf, 0
    for axis in range(3):
        o, d = (ox, dx) if axis == 0 else ((oy, dy) if axis == 1 else (oz, dz))
        if d != 0.0:
            t = (math.copysign(half[axis], d) - o) / d
            if t < best:
                best, face = t, 2 * axis + (1 if d > 0.0 else 0)
    return best, face


@inline_kernel
def _enter_box(
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, half: NDArray[np.float64]
) -> tuple[float, int]:
    near, far, face = -np.inf, np.inf, 0
    for axis in range(3):
        o, d = (ox, dx) if axis == 0 else ((oy, dy) if axis == 1 else (oz, dz))
        if d == 0.0:
            if abs(o) > half[axis]:
                return np.inf, 0
        else:
            reach = math.copysign(half[axis], d)
            t_in, t_out = (-reach - o) / d, (reach - o) / d
            if t_in > near:
                near, face = t_in, 2 * axis + (0 if d > 0.0 else 1)
            far = min(far, t_out)
    if near > far or near <= 0.0:
        return np.inf, 0
    return near, face


@inline_kernel
def _enter_sphere(
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, half: NDArray[np.float64]
) -> tuple[float, int]:
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    # The discriminant by the closest approach loses fewer digits than b² - ac.
    qx, qy, qz = ox - b / a * dx, oy - b / a * dy, oz - b / a * dz
    gap = half[0] * half[0] - (qx * qx + qy * qy + qz * qz)
    if gap < 0.0:
        return np.inf, 0
    t = (-b - math.sqrt(gap * a)) / a
    return (t, 0) if t > 0.0 else (np.inf, 0)


@inline_kernel
def _enter_cylinder(
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, half: NDArray[np.float64]
) -> tuple[float, int]:
    radius, tall = half[0], half[2]
    if dz != 0.0:
        t = (-math.copysign(tall, dz) - oz) / dz
        x, y = ox + t * dx, oy + t * dy
        if t > 0.0 and x * x + y * y <= radius * radius:
            return t, 4 if dz > 0.0 else 5
    a = dx * dx + dy * dy
    if a == 0.0:
        return np.inf, 0
    b = ox * dx + oy * dy
    qx, qy = ox - b / a * dx, oy - b / a * dy
    gap = radius * radius - (qx * qx + qy * qy)
    if gap < 0.0:
        return np.inf, 0
    t = (-b - math.sqrt(gap * a)) / a
    return (t, 0) if t > 0.0 and abs(oz + t * dz) <= tall else (np.inf, 0)


@inline_kernel
def _tile_candidates(
    room: RoomArrays,
    rays: NDArray[np.float64],
    origin: NDArray[np.float64],
    candidates: NDArray[np.int64],
) -> int:
    """Solids whose bounding sphere reaches into the cone around a tile; rays: middle, then corners."""
    middle = rays[0] / math.sqrt(rays[0] @ rays[0])
    widest = 1.0
    for corner in range(1, 5):
        widest = min(widest, (rays[corner] @ middle) / math.sqrt(rays[corner] @ rays[corner]))
    half_angle = math.acos(max(-1.0, widest)) + 1e-6
    found = 0
    for solid in range(1, room.shape.shape[0]):
        to_solid = room.center_world[solid] - origin
        distance = math.sqrt(to_solid @ to_solid)
        radius = room.bound_m[solid]
        if distance > radius:
            angle = math.acos(min(1.0, max(-1.0, (to_solid @ middle) / distance)))
            if angle - math.asin(radius / distance) > half_angle:
                continue
        candidates[found] = solid
        found += 1
    return found


@inline_kernel
def seen_from_solids(room: RoomArrays, origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, 3) float64: a point of the world in each solid's own axes."""
    local = np.empty((room.shape.shape[0], 3))
    for solid in range(local.shape[0]):
        away = origin - room.center_world[solid]
        c, s = room.turn[solid, 0], room.turn[solid, 1]
        local[solid, 0], local[solid, 1] = c * away[0] + s * away[1], c * away[1] - s * away[0]
        local[solid, 2] = away[2]
    return local


@inline_kernel
def first_surface(
    room: RoomArrays,
    local: NDArray[np.float64],
    candidates: NDArray[np.int64],
    found: int,
    wx: float,
    wy: float,
    wz: float,
) -> tuple[float, int, int]:
    """Steps (wx, wy, wz) of the world to the shell or the first of the candidates, its surface and face."""
    best, best_row, best_face = np.inf, 0, 0
    for index in range(-1, found):
        solid = 0 if index < 0 else candidates[index]
        c, s = room.turn[solid, 0], room.turn[solid, 1]
        dx, dy = c * wx + s * wy, c * wy - s * wx
        o, half, shape = local[solid], room.half_m[solid], room.shape[solid]
        if solid == 0:
            t, face = _exit_shell(o[0], o[1], o[2], dx, dy, wz, half)
        elif shape == BOX:
            t, face = _enter_box(o[0], o[1], o[2], dx, dy, wz, half)
        elif shape == SPHERE:
            t, face = _enter_sphere(o[0], o[1], o[2], dx, dy, wz, half)
        else:
            t, face = _enter_cylinder(o[0], o[1], o[2], dx, dy, wz, half)
        if t < best:
            best, best_face = t, face
            best_row = face if solid == 0 else solid + SHELL_FACES - 1
    return best, best_row, best_face


@kernel
def trace(
    room: RoomArrays,
    camera: NDArray[np.float64],
    width: int,
    height: int,
    camera_to_world: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint16], NDArray[np.uint8]]:
    """First surface on each pixel's ray; arguments as of `render`.

    Returns:
        depth_m (H, W) float64 along the camera's z axis, points_world (H, W, 3) float64, surface (H, W)
        uint16 and face (H, W) uint8 numbers as of `RoomArrays`.
    """
    depth, points = np.empty((height, width)), np.empty((height, width, 3))
    surface, faces = np.empty((height, width), np.uint16), np.empty((height, width), np.uint8)
    solids = room.shape.shape[0]
    turn = np.ascontiguousarray(camera_to_world[:3, :3])
    origin = np.ascontiguousarray(camera_to_world[:3, 3])
    local = seen_from_solids(room, origin)
    candidates = np.empty(solids, np.int64)
    rays = np.empty((5, 3))
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            bottom, right = min(top + _TILE, height), min(left + _TILE, width)
            for ray in range(5):
                u = 0.5 * (left + right - 1) if ray == 0 else (left if ray & 1 else right - 1)
                v = 0.5 * (top + bottom - 1) if ray == 0 else (top if ray <= 2 else bottom - 1)
                x, y = (u - camera[2]) / camera[0], (v - camera[3]) / camera[1]
                for k in range(3):
                    rays[ray, k] = turn[k, 0] * x + turn[k, 1] * y + turn[k, 2]
            found = _tile_candidates(room, rays, origin, candidates)
            for v_pixel in range(top, bottom):
                y = (v_pixel - camera[3]) / camera[1]
                for u_pixel in range(left, right):
                    x = (u_pixel - camera[2]) / camera[0]
                    # The ray's step is one metre of depth, so that its parameter is the z-depth.
                    wx = turn[0, 0] * x + turn[0, 1] * y + turn[0, 2]
                    wy = turn[1, 0] * x + turn[1, 1] * y + turn[1, 2]
                    dz = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2]
                    best, best_row, best_face = first_surface(room, local, candidates, found, wx, wy, dz)
                    depth[v_pixel, u_pixel] = best
                    surface[v_pixel, u_pixel], faces[v_pixel, u_pixel] = best_row, best_face
                    points[v_pixel, u_pixel, 0] = origin[0] + best * wx
                    points[v_pixel, u_pixel, 1] = origin[1] + best * wy
                    points[v_pixel, u_pixel, 2] = origin[2] + best * dz
    return depth, points, surface, faces
