"""What happens when the loss is no longer a number: stop, and leave behind what made it so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from pri3d_data.errors import Pri3DError
from pri3d_train.distributed import World
from pri3d_train.pair_batch import PairBatch


class DivergedError(Pri3DError):
    """The loss is no longer a number; training on would only spread it."""


def stop_diverged(
    run: Path,
    step: int,
    lr: float,
    values: Mapping[str, float],
    own: Mapping[str, Tensor],
    batch: Sequence[PairBatch],
    world: World,
) -> NoReturn:
    """Save the batch of every rank whose own loss is not finite, then stop.

    ``RUN/nan-batch.pt`` (``nan-batch-rank3.pt`` on rank 3) is a list of one dict of tensors for each piece of
    the batch, as the networks saw it.

    Args:
        run: the run folder.
        step: the step whose loss it is, counted from 1.
        lr: its learning rate.
        values: the loss terms, means over the ranks.
        own: the terms of this rank.
        batch: the pieces of this rank's batch.
        world: this process among its ranks.

    Raises:
        DivergedError: always.
    """
    terms = ", ".join(f"{name} {value:g}" for name, value in values.items() if name != "loss")
    where = "The rank it happened on saved its batch beside the log."
    if not math.isfinite(float(own["loss"])):
        file = run / ("nan-batch.pt" if world.is_main else f"nan-batch-rank{world.rank}.pt")
        where = f"The batch is in {file}."
        try:
            run.mkdir(parents=True, exist_ok=True)
            torch.save([{name: value.cpu() for name, value in one.tensors().items()} for one in batch], file)
        except (OSError, RuntimeError) as error:
            where = f"Its batch could not be saved: {str(error).splitlines()[0]}."
    raise DivergedError(
        f"The loss became {values['loss']} at step {step} (lr {lr:g}; {terms}). {where} Nothing of this step "
        "was saved otherwise: run again with a lower --lr or with --clip to go on from the last "
        "checkpoint, or anew elsewhere."
    )
