"""A street drawn from a seed: houses, parked cars, trees, poles and signs on a flat road that runs along x.

The world is a map: x east, y north, z up, the road's surface at z = 0. The sky is the ceiling and the far
walls of a box so large that no laser reaches them.
"""

from __future__ import annotations

import numpy as np

from pri3d_data.synth.labels import CATEGORIES
from pri3d_data.synth.material import random_material
from pri3d_data.synth.room import (
    BOX,
    CHECKER,
    CYLINDER,
    PATCHES,
    PLAIN,
    SPHERE,
    STRIPES,
    Material,
    Room,
    Solid,
)

ROAD_SURFACE = 4
SKY_SURFACES = (0, 1, 2, 3, 5)
BEYOND_M = 130.0

_WIDTH_M, _SKY_M = 260.0, 90.0
_SKY = Material((0.55, 0.7, 0.9), (0.6, 0.75, 0.92), PLAIN, 50.0, 1)
_HOUSE_LINE_M, _KERB_LINE_M, _PARKED_LINE_M = 9.5, 6.0, 4.2


def make_street(seed: int, length_m: float) -> Room:
    """The street of a seed; a car may drive on it within 1.5 m of y = 0, from x = 0 to ``length_m``.

    Args:
        seed: not negative; the same seed and length give the same street.
        length_m: how far one can drive. Things stand on to where no laser reaches from there.
    """
    rng = np.random.default_rng([seed, 11])
    size = (length_m + 2.0 * BEYOND_M, _WIDTH_M, _SKY_M)
    road = Material((0.42, 0.42, 0.44), (0.55, 0.54, 0.5), PATCHES, 0.4, int(rng.integers(1, 2**62)))
    solids = [
        solid
        for side in (-1.0, 1.0)
        for row in (_houses, _parked, _upright)
        for solid in row(rng, side, length_m)
    ]
    return Room(size, 0.0, (length_m / 2.0, 0.0, 0.0), (_SKY, _SKY, _SKY, _SKY, road, _SKY), tuple(solids))


def _houses(rng: np.random.Generator, side: float, length_m: float) -> list[Solid]:
    solids, x = [], -40.0
    while x < length_m + 95.0:
        half = rng.uniform((3.0, 3.0, 2.2), (7.0, 5.0, 5.0))
        back = _HOUSE_LINE_M + rng.uniform(0.0, 2.5) + half[1]
        wall = random_material(rng, (CHECKER, STRIPES, PATCHES), 0.9)
        solids.append(_solid(BOX, (x + half[0], side * back, half[2]), half, rng.uniform(-0.04, 0.04), wall))
        if rng.uniform() < 0.6:
            bay = np.array([rng.uniform(0.5, 1.2), 0.5, half[2] * 0.5])
            front = back - half[1] - 0.4
            solids.append(_solid(BOX, (x + half[0], side * front, bay[2]), bay, 0.0, wall))
        x += 2.0 * half[0] + rng.uniform(1.5, 6.0)
    return solids


def _parked(rng: np.random.Generator, side: float, length_m: float) -> list[Solid]:
    solids, x = [], -30.0
    while x < length_m + 95.0:
        half = np.array([rng.uniform(1.8, 2.4), rng.uniform(0.8, 0.95), rng.uniform(0.35, 0.5)])
        y, yaw = side * (_PARKED_LINE_M + rng.uniform(-0.2, 0.2)), rng.uniform(-0.05, 0.05)
        paint = random_material(rng, (PLAIN,), 0.5)
        low = 0.2 + half[2]
        solids.append(_solid(BOX, (x, y, low), half, yaw, paint))
        cabin = half * np.array([0.55, 0.9, 0.75])
        solids.append(_solid(BOX, (x - 0.2, y, low + half[2] + cabin[2]), cabin, yaw, paint))
        wheel = np.array([half[0] * 0.8, half[1] * 0.8, 0.1])
        solids.append(_solid(BOX, (x, y, 0.1), wheel, yaw, paint))
        x += 2.0 * half[0] + rng.exponential(9.0) + 0.8
    return solids


def _upright(rng: np.random.Generator, side: float, length_m: float) -> list[Solid]:
    """Trees and poles along the kerb, some poles with a sign."""
    solids, x = [], -35.0
    while x < length_m + 95.0:
        y = side * (_KERB_LINE_M + rng.uniform(0.0, 0.8))
        bark = random_material(rng, (PLAIN, STRIPES), 0.2)
        if rng.uniform() < 0.5:
            tall, thick = rng.uniform(1.0, 1.6), rng.uniform(0.12, 0.25)
            solids.append(_solid(CYLINDER, (x, y, tall), (thick, thick, tall), 0.0, bark))
            crown = rng.uniform(1.2, 2.0)
            leaves = random_material(rng, (PATCHES,), 0.3)
            solids.append(
                _solid(SPHERE, (x, y, 2.0 * tall + 0.9 * crown), (crown, crown, crown), 0.0, leaves)
            )
        else:
            tall, thick = rng.uniform(1.4, 2.6), rng.uniform(0.05, 0.1)
            solids.append(_solid(CYLINDER, (x, y, tall), (thick, thick, tall), 0.0, bark))
            if rng.uniform() < 0.5:
                plate = random_material(rng, (CHECKER,), 0.15)
                solids.append(
                    _solid(BOX, (x - thick - 0.03, y, 2.0 * tall - 0.4), (0.02, 0.4, 0.4), 0.0, plate)
                )
        x += rng.uniform(3.0, 9.0)
    return solids


def _solid(
    shape: int,
    center: tuple[float, float, float],
    half: tuple[float, float, float] | np.ndarray[tuple[int], np.dtype[np.float64]],
    yaw_rad: float,
    material: Material,
) -> Solid:
    # Rooms number things by ScanNet's categories, which know no streets; nobody reads a street's labels.
    x, y, z = (float(value) for value in center)
    hx, hy, hz = (float(value) for value in half)
    return Solid(shape, (x, y, z), (hx, hy, hz), float(yaw_rad), CATEGORIES["box"], 7, material)
