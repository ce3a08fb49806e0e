"""Random materials: muted colours, with a pattern fit for what is covered."""

from __future__ import annotations

import colorsys

import numpy as np

from pri3d_data.synth.room import CHECKER, PATCHES, PLAIN, STRIPES, Material


def random_material(rng: np.random.Generator, patterns: tuple[int, ...], scale_m: float) -> Material:
    """A material with one of ``patterns``, its cells between 0.8 and 1.3 × ``scale_m``."""
    hue = float(rng.uniform())
    base = colorsys.hsv_to_rgb(hue, float(rng.uniform(0.15, 0.65)), float(rng.uniform(0.45, 0.9)))
    shifted = (hue + float(rng.uniform(-0.15, 0.15))) % 1.0
    accent = colorsys.hsv_to_rgb(shifted, float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.2, 0.95)))
    pattern = int(rng.choice(np.array(patterns)))
    return Material(base, accent, pattern, scale_m * float(rng.uniform(0.8, 1.3)), _seed(rng))


def shell_materials(rng: np.random.Generator) -> tuple[Material, ...]:
    """Materials of the faces x-, x+, y-, y+, floor, ceiling; all walls share a paper, not its noise."""
    paper = random_material(rng, (PLAIN, STRIPES, PATCHES), 0.3)
    walls = tuple(
        Material(_light(paper.base), paper.accent, paper.pattern, paper.scale_m, _seed(rng)) for _ in range(4)
    )
    floor = random_material(rng, (CHECKER, STRIPES), 0.22)
    ceiling = Material((0.85, 0.84, 0.8), (0.7, 0.7, 0.72), CHECKER, 0.6, _seed(rng))
    return (*walls, floor, ceiling)


def _light(color: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = (0.45 + 0.5 * channel for channel in color)
    return red, green, blue


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 2**62))
