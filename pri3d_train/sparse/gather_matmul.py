"""A sparse convolution in plain PyTorch: gather rows, multiply by each offset's matrix, add up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

#: Output rows worked on at a time. On a CPU what is gathered for them should stay in its cache; a GPU wants
#: few and large products, and memory for them is what bounds it.
_BLOCK_ROWS = {"cpu": 4096}
_BLOCK_ROWS_ELSEWHERE = 1 << 18


@dataclass(frozen=True)
class Block:
    """The pairs that end in a range of output rows, sorted by offset and then by output row.

    Attributes:
        rows: first output row and the one after the last.
        sources: (P,) int64 input row of each pair.
        targets: (P,) int64 output row of each pair.
        counts: pairs of each of the K offsets.
        bags: (P,) int64: the pairs, sorted by output row.
        starts: (R + 1,) int64: where in ``bags`` each output row begins.
    """

    rows: tuple[int, int]
    sources: Tensor
    targets: Tensor
    counts: list[int]
    bags: Tensor
    starts: Tensor

    def slices(self) -> Iterator[tuple[int, slice]]:
        """Offset and its range of pairs, for the offsets that have any."""
        start = 0
        for k, count in enumerate(self.counts):
            if count:
                yield k, slice(start, start + count)
            start += count


@dataclass(frozen=True)
class Plan:
    """Every pair (input row, offset, output row) of one convolution, block by block.

    Attributes:
        rows: number of output rows.
        blocks: cover them in order.
    """

    rows: int
    blocks: list[Block]


@dataclass(frozen=True)
class KernelMap:
    """A plan and the plan of its gradient.

    Attributes:
        forward: from input rows to output rows.
        backward: from output rows to input rows.
        mirrored: ``backward`` numbers the offsets from the other end: a centred kernel's neighbours see it
            at the opposite offset, so one plan serves both ways.
    """

    forward: Plan
    backward: Plan
    mirrored: bool = False

    def transposed(self) -> KernelMap:
        """The map from output rows to input rows."""
        return replace(self, forward=self.backward, backward=self.forward)


def plan(table: Tensor) -> Plan:
    """The plan of a (K, N) int64 table: input row of output row n at offset k, or -1."""
    rows = table.shape[1]
    step = _BLOCK_ROWS.get(table.device.type, _BLOCK_ROWS_ELSEWHERE)
    blocks = []
    for first in range(0, rows, step):
        part = table[:, first : first + step]
        there = part >= 0
        counts = there.sum(1)
        number = (torch.cumsum(there.flatten(), 0) - 1).view(there.shape)
        ends = torch.cumsum(there.sum(0), 0)
        _, target = there.nonzero(as_tuple=True)
        blocks.append(
            Block(
                rows=(first, first + part.shape[1]),
                sources=part[there],
                targets=target + first,
                counts=counts.tolist(),
                bags=number.t()[there.t()],
                starts=torch.cat([ends.new_zeros(1), ends]),
            )
        )
    return Plan(rows, blocks)


def convolve(features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    """``out[u] = Σ_k features[v] @ kernel[k]`` over the pairs (v, k, u) of the map.

    Args:
        features: (N, Cin) floating point.
        kernel: (K, Cin, Cout) of the same type; under autocast both are cast to its type.
        kernel_map: which rows meet at which offset.

    Returns:
        (M, Cout) of the same type. Sums are in a fixed order: the same input gives the same bits.
    """
    device = features.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        features, kernel = features.to(dtype), kernel.to(dtype)
    out: Tensor = _Convolution.apply(features, kernel, kernel_map)  # type: ignore[no-untyped-call]
    return out


class _Convolution(torch.autograd.Function):
    """Gathered rows are not kept for the gradient: gathering again is cheaper than the memory."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.kernel_map = kernel_map
        with torch.autocast(features.device.type, enabled=False):
            out = features.new_empty((kernel_map.forward.rows, kernel.shape[2]))
            for block in kernel_map.forward.blocks:
                gathered = features.index_select(0, block.sources)
                products = features.new_empty((len(gathered), kernel.shape[2]))
                for k, pairs in block.slices():
                    torch.mm(gathered[pairs], kernel[k], out=products[pairs])
                _add_up(products, block, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, kernel = ctx.saved_tensors
        (gradient,) = gradients
        kernel_map: KernelMap = ctx.kernel_map
        wants_features, wants_kernel, _ = ctx.needs_input_grad
        last = len(kernel) - 1
        with torch.autocast(features.device.type, enabled=False):
            gradient = gradient.to(features.dtype)
            to_features = torch.empty_like(features) if wants_features else None
            # Products of many blocks are added up: in half precision the small ones would be lost.
            sums = torch.float32 if kernel.dtype in (torch.float16, torch.bfloat16) else kernel.dtype
            to_kernel = torch.zeros_like(kernel, dtype=sums) if wants_kernel else None
            for block in kernel_map.backward.blocks:
                arriving = gradient.index_select(0, block.sources)
                here = features.index_select(0, block.targets) if wants_kernel else features
                products = (
                    features.new_empty((len(arriving), features.shape[1])) if wants_features else features
                )
                for pair_k, pairs in block.slices():
                    k = last - pair_k if kernel_map.mirrored else pair_k
                    if to_kernel is not None:
                        to_kernel[k] += here[pairs].t() @ arriving[pairs]
                    if wants_features:
                        torch.mm(arriving[pairs], kernel[k].t(), out=products[pairs])
                if to_features is not None:
                    _add_up(products, block, to_features)
        return to_features, None if to_kernel is None else to_kernel.to(kernel.dtype), None


def _add_up(products: Tensor, block: Block, out: Tensor) -> None:
    """Sum the products of each output row of the block into ``out``; rows without a pair become 0."""
    first, end = block.rows
    if len(products) == 0:
        out[first:end] = 0
        return
    # The bag of rows is PyTorch's fastest segmented sum on CPUs and GPUs, and it needs no atomic additions.
    out[first:end] = embedding_bag(block.bags, products, block.starts, mode="sum", include_last_offset=True)
