"""A room as plain data: a box seen from inside, the solids in it, and the same as arrays for kernels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.synth.labels import CATEGORIES, Category

BOX, CYLINDER, SPHERE, SHELL = 0, 1, 2, 3
PLAIN, CHECKER, STRIPES, PATCHES = 0, 1, 2, 3
SHELL_FACES = 6


@dataclass(frozen=True)
class Material:
    """How a surface is coloured.

    Attributes:
        base, accent: RGB in [0, 1].
        pattern: how the two mix: PLAIN, CHECKER, STRIPES or PATCHES.
        scale_m: size of the pattern's cells, metres.
        seed: makes this surface's noise its own.
    """

    base: tuple[float, float, float]
    accent: tuple[float, float, float]
    pattern: int
    scale_m: float
    seed: int


@dataclass(frozen=True)
class Solid:
    """One convex piece of furniture, turned about the vertical axis only.

    Attributes:
        shape: BOX, CYLINDER (axis upright) or SPHERE.
        center_world: its middle, metres.
        half_m: half extents along its own axes; (r, r, half height) of a cylinder, (r, r, r) of a sphere.
        yaw_rad: its own x axis against the world's, about +z.
        category, instance: what it belongs to; pieces of one thing share both.
    """

    shape: int
    center_world: tuple[float, float, float]
    half_m: tuple[float, float, float]
    yaw_rad: float
    category: Category
    instance: int
    material: Material


class RoomArrays(NamedTuple):
    """A room as kernels take it. Solid 0 is the shell; surfaces 0..5 are its faces, 5 + i is solid i ≥ 1.

    A solid's faces are numbered 2·axis + (1 for the positive side); a cylinder's side and a sphere have 0.

    Attributes:
        shape: (S,) int64. center_world, half_m: (S, 3) float64. turn: (S, 2) float64, cosine and sine of yaw.
        bound_m: (S,) float64 radius of a sphere around the solid.
        semantic, instance: (S + 5,) uint16 per surface, ScanNet raw ids.
        base, accent: (S + 5, 3) float64. pattern: (S + 5,) int64. scale_m: (S + 5,) float64.
        seed: (S + 5,) int64.
    """

    shape: NDArray[np.int64]
    center_world: NDArray[np.float64]
    half_m: NDArray[np.float64]
    turn: NDArray[np.float64]
    bound_m: NDArray[np.float64]
    semantic: NDArray[np.uint16]
    instance: NDArray[np.uint16]
    base: NDArray[np.float64]
    accent: NDArray[np.float64]
    pattern: NDArray[np.int64]
    scale_m: NDArray[np.float64]
    seed: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Room:
    """A furnished box room.

    Room coordinates have their origin in the middle of the floor, z up; solids are already in the world.

    Attributes:
        size_m: extents along the room's own x, y, z.
        yaw_rad, offset_world: where the room lies in the world: turned about +z, then shifted.
        shell: materials of the faces x-, x+, y-, y+, floor, ceiling.
        solids: everything in it. Their instances start at 7; floor, ceiling and walls have 1 to 6.
    """

    size_m: tuple[float, float, float]
    yaw_rad: float
    offset_world: tuple[float, float, float]
    shell: tuple[Material, ...]
    solids: tuple[Solid, ...]

    @property
    def room_to_world(self) -> NDArray[np.float64]:
        """(4, 4) float64."""
        c, s = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        x, y, z = self.offset_world
        return np.array([[c, -s, 0.0, x], [s, c, 0.0, y], [0.0, 0.0, 1.0, z], [0.0, 0.0, 0.0, 1.0]])

    @cached_property
    def arrays(self) -> RoomArrays:
        """The room as kernels take it."""
        half = np.array([self.size_m, *(np.multiply(solid.half_m, 2.0) for solid in self.solids)]) / 2.0
        middle = np.add(self.offset_world, (0.0, 0.0, half[0, 2]))
        yaw = np.array([self.yaw_rad, *(solid.yaw_rad for solid in self.solids)])
        shape = np.array([SHELL, *(solid.shape for solid in self.solids)], dtype=np.int64)
        flat = np.where(shape == CYLINDER, 0.0, half[:, 1])
        bound = np.sqrt(half[:, 0] ** 2 + flat**2 + half[:, 2] ** 2)
        bound[shape == SPHERE] = half[shape == SPHERE, 0]
        shell_categories = [CATEGORIES[name] for name in ("wall",) * 4 + ("floor", "ceiling")]
        categories = [*shell_categories, *(solid.category for solid in self.solids)]
        materials = [*self.shell, *(solid.material for solid in self.solids)]
        return RoomArrays(
            shape=shape,
            center_world=np.array([middle, *(solid.center_world for solid in self.solids)], dtype=np.float64),
            half_m=half,
            turn=np.stack([np.cos(yaw), np.sin(yaw)], axis=1),
            bound_m=bound,
            semantic=np.array([category.scannet for category in categories], dtype=np.uint16),
            instance=np.array(
                [3, 4, 5, 6, 1, 2, *(solid.instance for solid in self.solids)], dtype=np.uint16
            ),
            base=np.array([material.base for material in materials]),
            accent=np.array([material.accent for material in materials]),
            pattern=np.array([material.pattern for material in materials], dtype=np.int64),
            scale_m=np.array([material.scale_m for material in materials]),
            seed=np.array([material.seed for material in materials], dtype=np.int64),
        )
