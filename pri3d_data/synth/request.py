"""What a user asks made-up captures to be, checked; and the seeds that make each of them another."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pri3d_data.errors import UsageError


def scene_seed(seed: int, index: int, *kind: int) -> int:
    """The seed of capture number ``index``; ``kind`` tells apart data sets that would share their rooms."""
    return int(np.random.SeedSequence([seed, index, *kind]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def scene_seeds(scenes: int, seed: int, *kind: int) -> list[int]:
    """Seeds of ``scenes`` captures.

    Raises:
        UsageError: ``scenes`` is less than 1, or the seed negative.
    """
    if scenes < 1 or seed < 0:
        raise UsageError(
            f"{scenes} scenes of seed {seed} asked for. Give at least 1 scene and a seed of at least 0."
        )
    return [scene_seed(seed, index, *kind) for index in range(scenes)]


def check_fields(spec: object, checks: Iterable[tuple[str, bool, str]]) -> None:
    """Refuse a specification whose fields cannot be made.

    Args:
        spec: a frozen dataclass.
        checks: (field, whether it can be made, what it must be).

    Raises:
        UsageError: names the first field that cannot.
    """
    for name, holds, wanted in checks:
        if not holds:
            raise UsageError(
                f"{type(spec).__name__}.{name}: {getattr(spec, name)!r} given. It must be {wanted}."
            )


def check_seed(seed: int) -> None:
    """Raises `UsageError` where a seed is negative."""
    if seed < 0:
        raise UsageError(f"seed: {seed} given. It must not be negative.")
