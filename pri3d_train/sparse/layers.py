"""Layers of the sparse network: parameters in MinkowskiEngine's names and layout, whatever computes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pri3d_train.sparse.backend import Pyramid


def _uniform(parameter: nn.Parameter, fan: int) -> None:
    nn.init.uniform_(parameter, -1 / math.sqrt(fan), 1 / math.sqrt(fan))


def _kaiming(kernel: nn.Parameter, fan: int) -> None:
    nn.init.normal_(kernel, 0.0, math.sqrt(2 / fan))


class Convolution(nn.Module):
    """A centred size³ kernel with stride 1, without bias: ``kernel`` (size³, inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int, size: int = 3) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(size**3, inputs, outputs))
        _kaiming(self.kernel, size**3 * outputs)

    def forward(self, x: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """(N_level, inputs) -> (N_level, outputs)."""
        return pyramid.convolve(x, self.kernel, level)


class Down(nn.Module):
    """A 2³ kernel with stride 2, without bias: ``kernel`` (8, inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(8, inputs, outputs))
        _kaiming(self.kernel, 8 * outputs)

    def forward(self, x: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """(N_level, inputs) -> (N_{level + 1}, outputs)."""
        return pyramid.down(x, self.kernel, level)


class Up(nn.Module):
    """A transposed 2³ kernel with stride 2, without bias: ``kernel`` (8, inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(8, inputs, outputs))
        # The reference initialises the transposed ones as MinkowskiEngine does, and only the others anew.
        _uniform(self.kernel, 8 * outputs)

    def forward(self, x: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """(N_level, inputs) -> (N_{level - 1}, outputs)."""
        return pyramid.up(x, self.kernel, level)


class Pointwise(nn.Module):
    """A 1³ kernel, which is a matrix product: ``kernel`` (inputs, outputs), ``bias`` (1, outputs) or none."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(1, outputs)) if bias else None
        # For a matrix MinkowskiEngine takes the first axis as its outputs.
        _kaiming(self.kernel, inputs)
        if self.bias is not None:
            _uniform(self.bias, inputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)."""
        x = x @ self.kernel
        return x if self.bias is None else x + self.bias


class BatchNorm(nn.Module):
    """Batch normalisation over all rows of the batch; its tensors are ``bn.weight``, ``bn.running_mean`` …

    Fewer than two rows (the coarsest level of a small chunk, an empty batch) have no variance: such a step
    takes the running statistics and leaves them alone, where PyTorch would stop the training.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels) -> (N, channels)."""
        bn = self.bn
        # A SyncBatchNorm counts the rows of all ranks and has to be called on each of them.
        if len(x) < 2 and not isinstance(bn, nn.SyncBatchNorm):
            return functional.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)
        out: Tensor = bn(x)
        return out


class BasicBlock(nn.Module):
    """Two 3³ convolutions with batch norm around a shortcut: 1³ and batch norm where channels differ."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Convolution(inputs, outputs)
        self.norm1 = BatchNorm(outputs)
        self.conv2 = Convolution(outputs, outputs)
        self.norm2 = BatchNorm(outputs)
        self.downsample = (
            nn.Sequential(Pointwise(inputs, outputs), BatchNorm(outputs)) if inputs != outputs else None
        )

    def forward(self, x: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """(N_level, inputs) -> (N_level, outputs)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.norm1(self.conv1(x, pyramid, level)))
        return functional.relu(self.norm2(self.conv2(x, pyramid, level)) + shortcut)


class Blocks(nn.ModuleList):
    """``count`` basic blocks in a row, the first of which changes the channels."""

    def __init__(self, inputs: int, outputs: int, count: int) -> None:
        super().__init__(BasicBlock(outputs if i else inputs, outputs) for i in range(count))

    def forward(self, x: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """(N_level, inputs) -> (N_level, outputs)."""
        for block in self:
            x = block(x, pyramid, level)
        return x
