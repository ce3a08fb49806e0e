"""The decorator of every compiled kernel here, so that all are compiled alike and stay typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` with numba, on first use, cached on disk.

    No fastmath, since captures must come out byte for byte the same; no parallel threads, since they do not
    survive a fork. Numba's disk cache sees only the file a kernel is in: after editing a kernel that others
    inline, remove the ``__pycache__`` folder beside it.
    """
    return cast("Callable[P, R]", numba.njit(cache=True, error_model="numpy")(function))
