"""The 3D network of Pri3D: MinkUNet34C, a sparse residual U-Net with one feature a voxel.

Widths, depths, key names, layouts and initial values are those of the reference, so that its weights load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from pri3d_data.errors import UsageError
from pri3d_train.sparse.backend import BackendName, find_backend
from pri3d_train.sparse.lattice import sort_cells
from pri3d_train.sparse.layers import BatchNorm, Blocks, Convolution, Down, Pointwise, Up

_STEM_CHANNELS = 32
_STEM_SIZE = 5
_LAYERS = (2, 3, 4, 6, 2, 2, 2, 2)
_PLANES = (32, 64, 128, 256, 256, 128, 96, 96)
_DEPTH = 4


class SparseUNet(nn.Module):
    """Occupied voxels with colours to a feature a voxel.

    A 5³ stem, four 2³ convolutions with stride 2 each followed by basic blocks, four transposed ones back
    onto the same voxels, each joined with the encoder's features of that level (decoder first) and followed
    by basic blocks, and a 1³ convolution. Module names say the order, the stride of their input (p) and
    their own (s). The state dict is MinkowskiEngine's, whichever backend computes.

    Args:
        in_channels: features of an input voxel, 3 for its colour.
        out_channels: features of an output voxel.
        backend: "torch", "spconv", "minkowski", or "auto" for the fastest as measured in docs/sparse.md.

    Attributes:
        backend_name: which one was taken.

    Raises:
        UsageError: the backend is unknown or not installed.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 96, backend: BackendName = "auto") -> None:
        super().__init__()
        self._backend = find_backend(backend)
        self._plain = find_backend("torch")
        self.conv0p1s1 = Convolution(in_channels, _STEM_CHANNELS, _STEM_SIZE)
        self.bn0 = BatchNorm(_STEM_CHANNELS)
        channels = _STEM_CHANNELS
        skips = [channels]
        for level in range(_DEPTH):
            n, outputs = level + 1, _PLANES[level]
            self.add_module(f"conv{n}p{2**level}s2", Down(channels, channels))
            self.add_module(f"bn{n}", BatchNorm(channels))
            self.add_module(f"block{n}", Blocks(channels, outputs, _LAYERS[level]))
            channels = outputs
            skips.append(channels)
        skips.pop()
        for level in range(_DEPTH, 0, -1):
            n = 2 * _DEPTH - level
            outputs = _PLANES[n]
            self.add_module(f"convtr{n}p{2**level}s2", Up(channels, outputs))
            self.add_module(f"bntr{n}", BatchNorm(outputs))
            self.add_module(f"block{n + 1}", Blocks(outputs + skips.pop(), outputs, _LAYERS[n]))
            channels = outputs
        self.final = Pointwise(channels, out_channels, bias=True)

    @property
    def backend_name(self) -> str:
        """The backend that computes: "torch", "spconv" or "minkowski"."""
        return self._backend.name

    def forward(self, coordinates: Tensor, features: Tensor) -> Tensor:
        """Features of each voxel.

        Args:
            coordinates: (N, 4) integers, batch index first, then x, y, z in voxels; rows unique, any order,
                negative ones too. Batch indices may be missing.
            features: (N, in_channels) floating point, on the same device.

        Returns:
            (N, out_channels), row i belonging to voxel i, without activation or normalisation; of the
            features' type, or of autocast's.

        Raises:
            UsageError: shapes, types or devices are others, a voxel is given twice, or voxels are too far
                apart to be one scene.
        """
        _check(coordinates, features)
        # In sorted rows neighbours are near by in memory, which every backend gains from; it also makes the
        # result of a voxel independent of where its row stands.
        lattice, order = sort_cells(coordinates, margin=_STEM_SIZE // 2)
        # The others refuse an empty batch, which has to pass: every rank of a job takes the same steps.
        pyramid = (self._backend if len(lattice) else self._plain).pyramid(lattice)
        x = relu(self.bn0(self.conv0p1s1(features.index_select(0, order), pyramid, 0)))
        skips = [x]
        for level in range(_DEPTH):
            n = level + 1
            x = relu(self._part(f"bn{n}")(self._part(f"conv{n}p{2**level}s2")(x, pyramid, level)))
            x = self._part(f"block{n}")(x, pyramid, level + 1)
            skips.append(x)
        skips.pop()
        for level in range(_DEPTH, 0, -1):
            n = 2 * _DEPTH - level
            x = relu(self._part(f"bntr{n}")(self._part(f"convtr{n}p{2**level}s2")(x, pyramid, level)))
            x = torch.cat([x, skips.pop().to(x.dtype)], dim=1)
            x = self._part(f"block{n + 1}")(x, pyramid, level - 1)
        out: Tensor = self.final(x)
        place = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device=order.device))
        return out.index_select(0, place)

    def _part(self, name: str) -> nn.Module:
        return self.get_submodule(name)


def _check(coordinates: Tensor, features: Tensor) -> None:
    integer = not (coordinates.is_floating_point() or coordinates.is_complex())
    if coordinates.ndim != 2 or coordinates.shape[1] != 4 or not integer:
        raise UsageError(
            f"Voxel coordinates are (N, 4) integers, batch index first, not {tuple(coordinates.shape)} of "
            f"{coordinates.dtype}."
        )
    if features.ndim != 2 or len(features) != len(coordinates) or not features.is_floating_point():
        raise UsageError(
            f"Features are one floating-point row a voxel, not {tuple(features.shape)} of {features.dtype} "
            f"for {len(coordinates)} voxels."
        )
    if features.device != coordinates.device:
        raise UsageError(f"Features are on {features.device} but coordinates on {coordinates.device}.")
