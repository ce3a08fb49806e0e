"""The backend on MinkowskiEngine 0.5.4. Importing this module needs it."""

from __future__ import annotations

import collections
import collections.abc
import warnings
from typing import Any

import torch
from torch import Tensor

from pri3d_train.sparse.lattice import Lattice

# MinkowskiEngine imports the name that Python 3.10 removed.
if not hasattr(collections, "Sequence"):
    collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it was built for CPUs only
    import MinkowskiEngine as ME
    from MinkowskiEngine.MinkowskiConvolution import (
        MinkowskiConvolutionFunction,
        MinkowskiConvolutionTransposeFunction,
    )
    from MinkowskiEngineBackend._C import ConvolutionMode


class MinkowskiPyramid:
    """See `pri3d_train.sparse.backend.Pyramid`; MinkowskiEngine's own coordinate manager keeps the maps."""

    def __init__(self, lattice: Lattice) -> None:
        on_gpu = lattice.cells.device.type == "cuda"
        kind = ME.CoordinateMapType.CUDA if on_gpu else ME.CoordinateMapType.CPU
        self._manager = ME.CoordinateManager(D=3, coordinate_map_type=kind)
        key, (order, _) = self._manager.insert_and_map(lattice.cells.int().contiguous(), 1, "")
        self._keys = [key]
        # Its GPU hash table is free to reorder the rows.
        order = order.long()
        moved = not torch.equal(order, torch.arange(len(order), device=order.device))
        self._order = order if moved and len(order) == len(lattice) else None

    def coordinates(self, level: int) -> Tensor:
        """(N_l, 4) int32, in input voxels."""
        coordinates: Tensor = self._manager.get_coordinates(self._key(level))
        return self._leave(coordinates, level)

    def convolve(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """A centred kernel of odd edge, stride 1."""
        size = round(len(kernel) ** (1 / 3))
        return self._run(MinkowskiConvolutionFunction, size, 1, features, kernel, level, level)

    def down(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """A kernel of 8 with stride 2, to level + 1."""
        return self._run(MinkowskiConvolutionFunction, 2, 2, features, kernel, level, level + 1)

    def up(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """The transposed `down`, to level - 1."""
        return self._run(MinkowskiConvolutionTransposeFunction, 2, 2, features, kernel, level, level - 1)

    def _key(self, level: int) -> Any:
        while len(self._keys) <= level:
            self._keys.append(self._manager.stride(self._keys[-1], 2))
        return self._keys[level]

    def _run(
        self, function: Any, size: int, stride: int, features: Tensor, kernel: Tensor, start: int, end: int
    ) -> Tensor:
        if features.dtype not in (torch.float32, torch.float64):
            features = features.float()
        if self._order is not None and start == 0:
            features = features[self._order]
        generator = ME.KernelGenerator(kernel_size=size, stride=stride, dilation=1, dimension=3)
        with torch.autocast(features.device.type, enabled=False):
            out: Tensor = function.apply(
                features,
                kernel.to(features.dtype).contiguous(),
                generator,
                ConvolutionMode.DEFAULT,
                self._key(start),
                self._key(end),
                self._manager,
            )
        return self._leave(out, end)

    def _leave(self, rows: Tensor, level: int) -> Tensor:
        if self._order is None or level > 0:
            return rows
        return torch.empty_like(rows).index_copy(0, self._order, rows)


class MinkowskiBackend:
    """Makes `MinkowskiPyramid`s."""

    name = "minkowski"

    def pyramid(self, lattice: Lattice) -> MinkowskiPyramid:
        """The pyramid above ``lattice``, on its device."""
        return MinkowskiPyramid(lattice)


BACKEND = MinkowskiBackend()
