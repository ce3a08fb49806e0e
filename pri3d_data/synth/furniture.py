"""Pieces of furniture built from boxes, cylinders and spheres.

Each builder draws its sizes from a generator and gives an item in its own frame: origin on the floor in the
middle of its footprint, x along the wall it may stand at, y into the room, z up. Pieces touch but do not
overlap, so that no two visible faces lie in one plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pri3d_data.synth.room import BOX, CYLINDER, SPHERE

RANDOM_TONE = 2


@dataclass(frozen=True)
class Part:
    """One solid of an item: tone 0 and 1 are the item's two materials, RANDOM_TONE one of its own."""

    shape: int
    center_m: tuple[float, float, float]
    half_m: tuple[float, float, float]
    tone: int = 0


@dataclass(frozen=True)
class Item:
    """A thing with one label, in its own frame."""

    name: str
    parts: tuple[Part, ...]

    def bounds_m(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Lowest and highest corner of the box around all parts."""
        centers = np.array([part.center_m for part in self.parts])
        halves = np.array([part.half_m for part in self.parts])
        low, high = (centers - halves).min(axis=0).tolist(), (centers + halves).max(axis=0).tolist()
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def block(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], tone: int = 0) -> Part:
    """A box part from its ranges along x, y and z."""
    ranges = (x, y, z)
    cx, cy, cz = ((low + high) / 2 for low, high in ranges)
    hx, hy, hz = ((high - low) / 2 for low, high in ranges)
    return Part(BOX, (cx, cy, cz), (hx, hy, hz), tone)


def rod(x: float, y: float, radius: float, z: tuple[float, float], tone: int = 0) -> Part:
    """An upright cylinder part."""
    return Part(CYLINDER, (x, y, (z[0] + z[1]) / 2), (radius, radius, (z[1] - z[0]) / 2), tone)


def ball_part(x: float, y: float, z: float, radius: float, tone: int = 0) -> Part:
    """A sphere part."""
    return Part(SPHERE, (x, y, z), (radius, radius, radius), tone)


def _legs(half_x: float, half_y: float, height: float, thick: float) -> tuple[Part, ...]:
    return tuple(
        block(
            (sx * half_x - thick, sx * half_x + thick),
            (sy * half_y - thick, sy * half_y + thick),
            (0, height),
            1,
        )
        for sx in (-1, 1)
        for sy in (-1, 1)
    )


def table(rng: np.random.Generator) -> Item:
    """A top on four legs."""
    w, d, h = rng.uniform(0.5, 0.75), rng.uniform(0.35, 0.5), rng.uniform(0.68, 0.78)
    return Item("table", (block((-w, w), (-d, d), (h - 0.04, h)), *_legs(w - 0.08, d - 0.08, h - 0.04, 0.03)))


def chair(rng: np.random.Generator) -> Item:
    """A seat on four legs, with a back at -y."""
    w, seat, top = rng.uniform(0.2, 0.24), rng.uniform(0.42, 0.47), rng.uniform(0.8, 0.95)
    back = block((-w, w), (-w, -w + 0.04), (seat, top))
    return Item(
        "chair",
        (block((-w, w), (-w, w), (seat - 0.05, seat)), back, *_legs(w - 0.04, w - 0.04, seat - 0.05, 0.02)),
    )


def couch(rng: np.random.Generator) -> Item:
    """A base, a back, two arms and two cushions."""
    w, d, seat = rng.uniform(0.75, 0.95), 0.42, rng.uniform(0.28, 0.34)
    inner, front = w - 0.16, -d + 0.22
    arms = [block(x, (front, d), (0, seat + 0.25), 1) for x in ((-w, -inner), (inner, w))]
    cushions = [block(x, (front, d - 0.03), (seat, seat + 0.12), 1) for x in ((-inner, -0.01), (0.01, inner))]
    base = block((-inner, inner), (front, d - 0.01), (0, seat))
    return Item("couch", (base, block((-w, w), (-d, front), (0, rng.uniform(0.75, 0.9))), *arms, *cushions))


def bookshelf(rng: np.random.Generator) -> Item:
    """Two sides, a back, four boards, and books of many colours."""
    w, d, h, t = rng.uniform(0.4, 0.55), 0.15, rng.uniform(1.6, 1.95), 0.02
    parts = [block((-w, -w + t), (-d, d), (0, h)), block((w - t, w), (-d, d), (0, h))]
    parts.append(block((-w + t, w - t), (-d, -d + t), (0, h), 1))
    levels = np.linspace(0.05, h - t, 5).tolist()
    for z in levels:
        parts.append(block((-w + t, w - t), (-d + t, d), (z, z + t)))
    for z in levels[:-1]:
        x = -w + t + 0.01
        for _ in range(3):
            wide = float(rng.uniform(0.12, 0.24))
            if x + wide < w - t:
                depth, tall = float(rng.uniform(0.0, 0.11)), float(rng.uniform(0.15, 0.28))
                parts.append(block((x, x + wide), (-d + t, depth), (z + t, z + t + tall), RANDOM_TONE))
            x += wide + 0.02
    return Item("bookshelf", tuple(parts))


def cabinet(rng: np.random.Generator) -> Item:
    """A body, two doors and their knobs."""
    w, d, h = rng.uniform(0.4, 0.55), rng.uniform(0.2, 0.26), rng.uniform(0.9, 1.7)
    doors = [block(x, (d, d + 0.02), (0.06, h - 0.03), 1) for x in ((-w + 0.02, -0.01), (0.01, w - 0.02))]
    knobs = [ball_part(x, d + 0.04, h * 0.55, 0.02) for x in (-0.05, 0.05)]
    return Item("cabinet", (block((-w, w), (-d, d), (0, h)), *doors, *knobs))


def bed(rng: np.random.Generator) -> Item:
    """A frame, a mattress, a pillow and a headboard at -y."""
    w, d, h = rng.uniform(0.5, 0.75), 1.0, rng.uniform(0.2, 0.3)
    mattress = block((-w + 0.03, w - 0.03), (-d + 0.06, d - 0.02), (h, h + 0.2), 1)
    pillow = block((-w * 0.6, w * 0.6), (-d + 0.1, -d + 0.45), (h + 0.2, h + 0.3), RANDOM_TONE)
    headboard = block((-w, w), (-d, -d + 0.05), (0, rng.uniform(0.8, 1.05)))
    return Item("bed", (block((-w, w), (-d + 0.05, d), (0, h)), mattress, pillow, headboard))


def desk(rng: np.random.Generator) -> Item:
    """A top on two panels, with a screen on it."""
    w, d, h = rng.uniform(0.55, 0.75), rng.uniform(0.28, 0.36), rng.uniform(0.7, 0.76)
    panels = [block(x, (-d + 0.02, d - 0.02), (0, h - 0.03), 1) for x in ((-w, -w + 0.03), (w - 0.03, w))]
    foot = rod(0, 0, 0.09, (h, h + 0.02), 1)
    screen = block((-0.27, 0.27), (-0.02, 0.02), (h + 0.02, h + 0.37), RANDOM_TONE)
    return Item("desk", (block((-w, w), (-d, d), (h - 0.03, h)), *panels, foot, screen))


def lamp(rng: np.random.Generator) -> Item:
    """A foot, a pole and a shade."""
    h, r = rng.uniform(1.35, 1.7), rng.uniform(0.14, 0.2)
    pole = rod(0, 0, 0.02, (0.03, h - 0.25), 1)
    return Item("lamp", (rod(0, 0, 0.14, (0, 0.03), 1), pole, rod(0, 0, r, (h - 0.25, h))))


def stool(rng: np.random.Generator) -> Item:
    """A round seat on three round legs."""
    r, h = rng.uniform(0.16, 0.2), rng.uniform(0.45, 0.6)
    angles = (0.3, 2.4, 4.5)
    legs = [rod(0.7 * r * np.cos(a), 0.7 * r * np.sin(a), 0.02, (0, h - 0.05), 1) for a in angles]
    return Item("stool", (rod(0, 0, r, (h - 0.05, h)), *legs))


def plant(rng: np.random.Generator) -> Item:
    """A pot, a stem and three balls of leaves."""
    h = rng.uniform(0.6, 0.85)
    leaves = [
        ball_part(x, y, h + z, r, 0)
        for x, y, z, r in ((0, 0, 0.17, 0.15), (0.17, 0.05, 0, 0.1), (-0.16, -0.04, 0.02, 0.09))
    ]
    return Item("plant", (rod(0, 0, 0.15, (0, 0.3), 1), rod(0, 0, 0.015, (0.3, h + 0.03), 1), *leaves))


def trash_can(rng: np.random.Generator) -> Item:
    """A cylinder."""
    return Item("trash can", (rod(0, 0, rng.uniform(0.13, 0.17), (0, rng.uniform(0.3, 0.45))),))


def ball(rng: np.random.Generator) -> Item:
    """A sphere on the floor."""
    r = float(rng.uniform(0.14, 0.3))
    return Item("ball", (ball_part(0, 0, r, r),))


def box(rng: np.random.Generator) -> Item:
    """A carton with a smaller one on it."""
    a, b = rng.uniform(0.2, 0.3), rng.uniform(0.2, 0.35)
    small = block((-a * 0.7, a * 0.6), (-a * 0.6, a * 0.7), (b, b + 0.18), RANDOM_TONE)
    return Item("box", (block((-a, a), (-a, a), (0, b)), small))


def ottoman(rng: np.random.Generator) -> Item:
    """A low drum with a flat cushion."""
    r, h = rng.uniform(0.22, 0.3), rng.uniform(0.28, 0.36)
    return Item("ottoman", (rod(0, 0, r, (0, h)), rod(0, 0, r * 0.9, (h, h + 0.05), 1)))


def picture(rng: np.random.Generator) -> Item:
    """A frame flat on the wall with the picture in front."""
    w, h, z = rng.uniform(0.25, 0.5), rng.uniform(0.2, 0.35), rng.uniform(1.45, 1.75)
    canvas = block((-w + 0.04, w - 0.04), (0.02, 0.025), (z - h + 0.04, z + h - 0.04), RANDOM_TONE)
    return Item("picture", (block((-w, w), (0, 0.02), (z - h, z + h)), canvas))


def window(rng: np.random.Generator) -> Item:
    """A frame with two panes."""
    w, low, high = rng.uniform(0.45, 0.65), rng.uniform(0.95, 1.1), rng.uniform(1.9, 2.2)
    panes = [
        block(x, (0.03, 0.035), (low + 0.06, high - 0.06), 1) for x in ((-w + 0.05, -0.02), (0.02, w - 0.05))
    ]
    return Item("window", (block((-w, w), (0, 0.03), (low, high)), *panes))


def door(rng: np.random.Generator) -> Item:
    """A leaf in a frame, with a knob."""
    w, h = rng.uniform(0.4, 0.48), rng.uniform(1.95, 2.1)
    leaf = block((-w + 0.06, w - 0.06), (0.03, 0.05), (0.0, h - 0.06), 1)
    return Item("door", (block((-w, w), (0, 0.03), (0, h)), leaf, ball_part(w - 0.13, 0.08, 1.02, 0.03)))
