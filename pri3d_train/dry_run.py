"""What a run would be, told before it starts: sizes, counts, and the time of one of its steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import torch
from torch import nn
from torch.optim import SGD

from pri3d_train.augmentation import augment_batch
from pri3d_train.config import BackendName, PretrainConfig
from pri3d_train.distributed import World
from pri3d_train.loader import PairLoader, PairSource
from pri3d_train.pair_model import sparse_network
from pri3d_train.pretrain import batches, checked, make_model
from pri3d_train.train_step import TrainStep, place


def plan(
    config: PretrainConfig,
    source: PairSource,
    world: World,
    sparse: Callable[[BackendName], nn.Module] = sparse_network,
) -> list[str]:
    """Lines that describe the run; two of its steps are made and thrown away, and nothing is written.

    Args:
        config, source, world, sparse: as for `pri3d_train.pretrain.pretrain`.

    Raises:
        UsageError, DataError, StorageError: what the run itself would raise at its first step.
    """
    share = world.share_of(config.batch_size, config.compute.accumulate)
    source = checked(config, source)
    model = place(make_model(config, world, sparse), config, world)
    update = TrainStep(config, model, SGD(model.parameters(), config.sgd.lr), None, world)
    loader = PairLoader(
        source,
        batch_size=share,
        rank=world.rank,
        ranks=world.size,
        workers=config.workers,
    )
    seconds = []
    with closing(batches(loader, config, world)) as pieces:
        for step in range(2):
            stacked = next(pieces)
            began = time.perf_counter()
            terms = update([augment_batch(one, drawn) if drawn else one for one, drawn in stacked], step)
            # Reading the loss is what waits for the device; the first step also warms it up.
            float(terms["loss"])
            seconds.append(time.perf_counter() - began)
    pairs = source.deal.samples
    epochs = config.steps * config.batch_size / pairs
    millions = {
        name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in model.named_children()
    }
    network = getattr(model, "backbone3d", None)
    return [
        f"losses          {' + '.join(f'{getattr(config.losses, t):g} {t}' for t in config.losses.terms)}",
        f"parameters      {sum(millions.values()):.2f} M ("
        + ", ".join(f"{name} {count:.2f} M" for name, count in millions.items())
        + ")",
        *(
            [f"backend         {getattr(network, 'backend_name', config.backend)}"]
            if network is not None
            else []
        ),
        f"effective batch {config.batch_size} pairs = {world.size} processes x {config.compute.accumulate} "
        f"pieces x {share // config.compute.accumulate} pairs",
        f"steps           {config.steps} = {epochs:.2f} epochs of {pairs} pairs",
        f"lanes           {source.deal.lanes}, about {source.deal.lanes / world.size:.3g} a process",
        f"device          {_device_name(world.device)}, {config.compute.precision}",
        f"step            {seconds[-1]:.3f} s without waiting for data ({seconds[0]:.3f} s the first)",
        f"whole run       about {timedelta(seconds=round(seconds[-1] * config.steps))}",
    ]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
