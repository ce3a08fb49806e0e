"""Where things stand: a room drawn from a seed, with nothing in the way of the camera.

The camera walks at least 1.25 m above the floor and a metre from the walls (`path`); what is taller than
1.2 m stands at a wall and is less than 0.65 m deep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pri3d_data.synth import furniture
from pri3d_data.synth.furniture import Item
from pri3d_data.synth.labels import CATEGORIES
from pri3d_data.synth.material import random_material, shell_materials
from pri3d_data.synth.room import CHECKER, PATCHES, PLAIN, STRIPES, Room, Solid

AT_WALL: tuple[Callable[[np.random.Generator], Item], ...] = (
    furniture.bookshelf,
    furniture.cabinet,
    furniture.desk,
    furniture.lamp,
    furniture.plant,
    furniture.couch,
    furniture.bed,
)
ANYWHERE: tuple[Callable[[np.random.Generator], Item], ...] = (
    furniture.ball,
    furniture.box,
    furniture.stool,
    furniture.ottoman,
    furniture.trash_can,
)
ON_WALL = (furniture.door, furniture.window, furniture.picture, furniture.picture)
TRIES = 60
GAP_M = 0.06
FIRST_INSTANCE = 7


def make_room(
    seed: int, offset_world: tuple[float, float, float] | None = None, yaw_rad: float | None = None
) -> Room:
    """The room of a seed: 4–6 × 3.5–5 × 2.6 m, with at least 8 pieces of furniture.

    Args:
        seed: not negative; the same seed gives the same room.
        offset_world: where the middle of its floor lies, metres; drawn from the seed if not given.
        yaw_rad: how it is turned about +z; drawn from the seed if not given.
    """
    rng = np.random.default_rng([seed, 1])
    drawn_yaw, drawn_offset = float(rng.uniform(-np.pi, np.pi)), rng.uniform(2.0, 5.0, 2).tolist()
    yaw = drawn_yaw if yaw_rad is None else yaw_rad
    offset = (drawn_offset[0], drawn_offset[1], 0.0) if offset_world is None else offset_world
    size = (float(rng.uniform(4.0, 6.0)), float(rng.uniform(3.5, 5.0)), 2.6)
    floor_plan = _furnish(rng, size)
    shell = shell_materials(rng)
    turned = Room(size, yaw, offset, shell, ())
    solids = [
        solid
        for number, (item, place) in enumerate(zip(floor_plan.items, floor_plan.places, strict=True))
        for solid in _solids(rng, item, turned.room_to_world @ place.matrix, yaw + place.yaw_rad, number)
    ]
    return Room(size, yaw, offset, shell, tuple(solids))


@dataclass(frozen=True)
class _Place:
    """Where an item's origin stands in room coordinates, and how it is turned."""

    x_m: float
    y_m: float
    yaw_rad: float

    @property
    def matrix(self) -> NDArray[np.float64]:
        c, s = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        return np.array([[c, -s, 0, self.x_m], [s, c, 0, self.y_m], [0, 0, 1, 0], [0, 0, 0, 1.0]])


@dataclass
class _FloorPlan:
    """Items placed so far and the boxes they take up, in room coordinates."""

    size_m: tuple[float, float, float]
    items: list[Item] = field(default_factory=list)
    places: list[_Place] = field(default_factory=list)
    taken: list[NDArray[np.float64]] = field(default_factory=list)

    def offer(self, item: Item, place: _Place) -> bool:
        """Put the item there if nothing is in the way."""
        low, high = item.bounds_m()
        corners = np.array(
            [[x, y, z, 1.0] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
        )
        placed = (place.matrix @ corners.T)[:3].T
        bounds = np.stack([placed.min(axis=0), placed.max(axis=0)])
        wall = np.array(self.size_m[:2]) / 2
        if (bounds[0, :2] < -wall - 1e-9).any() or (bounds[1, :2] > wall + 1e-9).any():
            return False
        for other in self.taken:
            if (bounds[0] < other[1] + GAP_M).all() and (bounds[1] > other[0] - GAP_M).all():
                return False
        self.items.append(item)
        self.places.append(place)
        self.taken.append(bounds)
        return True


def _furnish(rng: np.random.Generator, size: tuple[float, float, float]) -> _FloorPlan:
    plan = _FloorPlan(size)
    _place_at_wall(rng, plan, furniture.door(rng), 0.0)
    _place_group(rng, plan)
    # The largest first, so that they still find a place.
    large = [furniture.bed if rng.uniform() < 0.5 else furniture.couch, *AT_WALL[:5]]
    for build in large:
        _place_at_wall(rng, plan, build(rng), 0.02)
    for build in ON_WALL[1:]:
        _place_at_wall(rng, plan, build(rng), 0.0)
    for build in rng.permutation(np.array(ANYWHERE, dtype=object))[: int(rng.integers(2, 5))]:
        _place_anywhere(rng, plan, build(rng))
    return plan


def _place_at_wall(rng: np.random.Generator, plan: _FloorPlan, item: Item, gap_m: float) -> bool:
    (low_x, low_y, _), (high_x, _, _) = item.bounds_m()
    for _ in range(TRIES):
        wall = int(rng.integers(4))
        along, across = (
            (plan.size_m[0], plan.size_m[1]) if wall % 2 == 0 else (plan.size_m[1], plan.size_m[0])
        )
        shift = float(rng.uniform(-along / 2 + GAP_M - low_x, along / 2 - GAP_M - high_x))
        back = -across / 2 + gap_m - low_y
        yaw = wall * np.pi / 2
        c, s = round(np.cos(yaw)), round(np.sin(yaw))
        if plan.offer(item, _Place(c * shift - s * back, s * shift + c * back, yaw)):
            return True
    return False


def _place_group(rng: np.random.Generator, plan: _FloorPlan) -> None:
    """A table in the middle with chairs facing it."""
    item = furniture.table(rng)
    _, (half_x, half_y, _) = item.bounds_m()
    yaw = float(rng.uniform(-0.3, 0.3))
    middle = _Place(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.3, 0.3)), yaw)
    plan.offer(item, middle)
    # Chairs stand clear of the box around the turned table, or they would count as in its way.
    reach_y = 0.45 + half_y + half_x * abs(np.sin(yaw))
    reach_x = 0.45 + half_x + half_y * abs(np.sin(yaw))
    sides = (
        (0.0, -reach_y, 0.0),
        (0.0, reach_y, np.pi),
        (-reach_x, 0.0, -np.pi / 2),
        (reach_x, 0.0, np.pi / 2),
    )
    for index in rng.permutation(4)[: int(rng.integers(2, 4))]:
        x, y, turn = sides[int(index)]
        jitter = float(rng.uniform(-0.2, 0.2))
        plan.offer(furniture.chair(rng), _Place(middle.x_m + x, middle.y_m + y, turn + jitter))


def _place_anywhere(rng: np.random.Generator, plan: _FloorPlan, item: Item) -> bool:
    for _ in range(TRIES):
        x, y = (float(rng.uniform(-side / 2, side / 2)) for side in plan.size_m[:2])
        if plan.offer(item, _Place(x, y, float(rng.uniform(-np.pi, np.pi)))):
            return True
    return False


def _solids(
    rng: np.random.Generator, item: Item, item_to_world: NDArray[np.float64], yaw_rad: float, number: int
) -> Sequence[Solid]:
    tones = [
        random_material(rng, (PLAIN, CHECKER, STRIPES), 0.12),
        random_material(rng, (PLAIN, STRIPES), 0.06),
    ]
    solids = []
    for part in item.parts:
        material = (
            tones[part.tone] if part.tone < len(tones) else random_material(rng, (PATCHES, CHECKER), 0.06)
        )
        x, y, z = (item_to_world @ np.array([*part.center_m, 1.0]))[:3].tolist()
        solids.append(
            Solid(
                part.shape,
                (x, y, z),
                part.half_m,
                yaw_rad,
                CATEGORIES[item.name],
                FIRST_INSTANCE + number,
                material,
            )
        )
    return solids
