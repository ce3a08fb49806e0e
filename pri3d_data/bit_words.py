"""Counting and finding bits of 64-bit words in kernels: machine instructions that numba has no names for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic


def _lowest_bit(typing_context: Any, word: Any) -> Any:
    def instruction(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), instruction


def _bit_count(typing_context: Any, word: Any) -> Any:
    def instruction(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), instruction


# The number of the lowest set bit of an int64 that has one; undefined for zero.
lowest_bit: Any = intrinsic(_lowest_bit)
# How many bits of an int64 are set.
bit_count: Any = intrinsic(_bit_count)
