"""What of the data a run streams: `--data OUT[:WEIGHT]` and `--image-size HxW`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from pri3d_data.errors import UsageError

_WEIGHT = re.compile(r"^(?P<root>.+):(?P<weight>[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)$")


def parse_data(values: Sequence[str]) -> tuple[list[str], list[float] | None]:
    """Folders or URLs, and their weights; no weights where none was given.

    A folder whose own name ends in a colon and a number is taken for a folder if it is there.

    Raises:
        UsageError: some data sets have a weight and others have none, or a weight is 0.
    """
    roots, weights = [], list[float | None]()
    for value in values:
        found = _WEIGHT.match(value)
        if found is None or os.path.isdir(value):  # noqa: PTH112 (a URL is no Path)
            roots.append(value)
            weights.append(None)
        else:
            roots.append(found["root"])
            weights.append(float(found["weight"]))
    given = [weight for weight in weights if weight is not None]
    if not given:
        return roots, None
    if len(given) < len(weights):
        bare = roots[weights.index(None)]
        raise UsageError(
            f"--data '{bare}' has no weight and others have: give every data set one (such as '{bare}:1'), "
            "or none of them, and every pair counts the same."
        )
    if min(given) <= 0:
        raise UsageError("--data with a weight of 0 is never trained on: leave that data set out.")
    return roots, given


def parse_size(text: str | None) -> tuple[int, int] | None:
    """(height, width) in pixels; None where nothing was asked for.

    Raises:
        UsageError: anything but ``HxW`` with sides of at least 32.
    """
    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()) or min(int(height), int(width)) < 32:
        raise UsageError(
            f"--image-size '{text}' is not HEIGHTxWIDTH in pixels, such as 240x320, with sides of 32 or "
            "more: the encoder halves them five times."
        )
    return int(height), int(width)
