"""How this project compiles its kernels: one typed decorator over numba's ``njit``.

Kernels are compiled on first use and cached on disk, so that 64 workers do not compile 64 times. They are
serial on purpose: stages run side by side in processes, and a parallel numba region in a parent process kills
the loader workers it forks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

_P = ParamSpec("_P")
_R = TypeVar("_R")


def kernel(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a pure function of arrays; strict IEEE arithmetic, no interpreter lock held."""
    return cast("Callable[_P, _R]", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inline_kernel(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a small function that other kernels call in their inner loops."""
    return cast("Callable[_P, _R]", numba.njit(cache=True, error_model="numpy")(function))
