"""One optimiser step: losses of the pieces of a batch, their gradients, the update, and what follows it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

from pri3d_data.errors import UsageError
from pri3d_train.averaged import AveragedWeights
from pri3d_train.config import PretrainConfig
from pri3d_train.distributed import World
from pri3d_train.pair_batch import PairBatch
from pri3d_train.pair_model import PairModel
from pri3d_train.schedule import batch_norm_momentum, learning_rate


def place(model: PairModel, config: PretrainConfig, world: World) -> PairModel:
    """``model`` on its device, with synchronised batch norm if asked for; state-dict keys stay.

    Raises:
        UsageError: batch norm is to be synchronised on CPUs, which torch cannot do, or networks are to be
            compiled and there is no compiler.
    """
    if config.compute.compile:
        _find_compiler()
    if config.compute.sync_bn and world.device.type != "cuda":
        raise UsageError("--sync-bn works on GPUs only, where torch can do it: leave it out.")
    if config.compute.sync_bn and world.size > 1:
        # Not of the 3D network: it has a row for every voxel, and a rank may have no geometry to come with.
        model.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(  # type: ignore[no-untyped-call]
            model.backbone
        )
    model.to(world.device)
    if world.device.type == "cuda":
        # Images arrive with channels last; weights that differ would be reordered in every step.
        model.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _find_compiler() -> None:
    # torch.compile writes C++ for CPUs and the launchers of GPU kernels; without a compiler it fails at the
    # first step with a long trace.
    wanted = [os.environ.get("CXX", ""), "g++", "clang++", "c++"]
    if not any(shutil.which(name) for name in wanted if name):
        raise UsageError(
            "--compile needs a C++ compiler, and none of g++, clang++ and c++ is installed: install one "
            "(apt-get install g++), name it in CXX, or leave out --compile."
        )


class TrainStep:
    """Callable that makes one update of ``model``.

    Args:
        config: decides rates, precision, clipping.
        model: already placed; trained in this process, and on the other ranks in step with it.
        optimizer: over the parameters of ``model``.
        average: follows the weights, if there is one.
        world: this process among its ranks.
    """

    def __init__(
        self,
        config: PretrainConfig,
        model: PairModel,
        optimizer: SGD,
        average: AveragedWeights | None,
        world: World,
    ) -> None:
        self._config = config
        self._model = model
        self._optimizer = optimizer
        self._average = average
        self._device = world.device.type
        self._norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        if config.compute.compile:
            # In place, and the image network alone: keys stay, and chunks have another size in every batch.
            model.backbone.compile()
        self._network: nn.Module = model
        if world.size > 1:
            devices = [world.device] if self._device == "cuda" else None
            self._network = DistributedDataParallel(model, device_ids=devices)

    def __call__(self, batches: Sequence[PairBatch], step: int) -> dict[str, Tensor]:
        """The update after ``step`` finished ones.

        Args:
            batches: equal pieces of this rank's part of the batch; their gradients are averaged.
            step: finished optimiser steps.

        Returns:
            The loss terms before the update by name, () float32 on the device, means over the pieces.
        """
        config = self._config
        self._optimizer.param_groups[0]["lr"] = self.rate(step)
        if config.bn_decay:
            for norm in self._norms:
                norm.momentum = batch_norm_momentum(step)
        self._optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for number, batch in enumerate(batches, 1):
            waits = number < len(batches) and isinstance(self._network, DistributedDataParallel)
            # Ranks exchange gradients once a step, with the last piece.
            with self._network.no_sync() if waits else nullcontext():  # type: ignore[operator]
                with torch.autocast(self._device, torch.bfloat16, enabled=config.compute.precision == "bf16"):
                    terms = self._network(batch)
                (terms["loss"] / len(batches)).backward()
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + term.detach() / len(batches)
        if config.compute.clip:
            nn.utils.clip_grad_norm_(self._model.parameters(), config.compute.clip)
        self._optimizer.step()
        if self._average is not None:
            self._average.update(self._model)
        return sums

    def rate(self, step: int) -> float:
        """The learning rate of the update after ``step`` finished ones."""
        return learning_rate(self._config.schedule, self._config.sgd.lr, step, self._config.steps)
