"""The pre-training loop: stream, loss, step, log, checkpoint, and a way out between any two steps."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

from pri3d_data.errors import Pri3DError
from pri3d_train import checkpoint
from pri3d_train.config import PretrainConfig
from pri3d_train.distributed import World
from pri3d_train.initialise import initialise
from pri3d_train.interruption import StopRequest
from pri3d_train.loader import PairLoader, PairSource
from pri3d_train.metrics_log import RunLog
from pri3d_train.pair_batch import PairBatch, stack_pairs
from pri3d_train.schedule import learning_rate
from pri3d_train.view_model import ViewModel


class DivergedError(Pri3DError):
    """The loss is no longer a number; training on would only spread it."""


@dataclass(frozen=True)
class Outcome:
    """``step`` finished steps; ``stopped`` if a signal ended the run before its last one."""

    step: int
    stopped: bool


def pretrain(
    config: PretrainConfig,
    source: PairSource,
    run: Path,
    world: World,
    *,
    init: str = "",
    resume: str = "auto",
    console: Console | None = None,
) -> Outcome:
    """Train on ``source`` until ``config.steps``, or until SIGINT or SIGTERM, writing everything to ``run``.

    On a CPU the same seed, data and number of ranks and threads give the same losses to the last bit, and so
    does a run that was interrupted and resumed.

    Args:
        config: the run; it decides with ``source`` every number.
        source: the stream, made with ``config.seed`` and ``config.matches``.
        run: folder of `log.jsonl`, `checkpoints/` and `tensorboard/`.
        world: this process among its ranks.
        init: file of first weights (see `pri3d_train.initialise`), not looked at when resuming.
        resume: see `pri3d_train.checkpoint.choose`.
        console: where rank 0 speaks; standard error if None.

    Raises:
        UsageError: batch, ranks, lanes or checkpoint do not go together.
        DataError: a file is not what it claims to be.
        StorageError: the disk refuses, or a loader process died; the run can be resumed.
        DivergedError: the loss became NaN or infinite.
    """
    console = console or Console(stderr=True)
    share = world.share_of(config.batch_size)
    start_file = checkpoint.choose(run, resume)
    torch.manual_seed(config.seed)
    model = ViewModel(config.backbone, config.temperature)
    said = "" if start_file or not init else initialise(model, init)
    model.to(world.device)
    sgd = {k: v for k, v in config.as_dict()["sgd"].items() if k != "lr"}
    optimizer = SGD(model.parameters(), lr=config.sgd.lr, **sgd)
    step, position = 0, None
    if start_file:
        progress, said = checkpoint.restore(start_file, model, optimizer, config)
        step, position = progress.step, progress.stream
        # The checkpoint's optimiser brings its own settings; those of this run are what the user asked for.
        optimizer.param_groups[0].update(sgd)
        said = f"Going on after step {step}: {said}"
    if said and world.is_main:
        console.print(said, soft_wrap=True, highlight=False)
    loader = PairLoader(
        source,
        batch_size=share,
        seed=config.seed,
        rank=world.rank,
        ranks=world.size,
        workers=config.workers,
        state=position,
    )
    stopped = False
    with ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        log = stack.enter_context(RunLog(run, step, config.steps, console)) if world.is_main else None
        if step < config.steps:
            network = _distribute(model, world)
            batches = stack.enter_context(closing(_batches(loader, config.matches, world)))
            meter = _Meter(config.batch_size)
        while step < config.steps and not stopped:
            waiting = time.perf_counter()
            batch = next(batches)
            meter.waited += time.perf_counter() - waiting
            lr = learning_rate(config.schedule, config.sgd.lr, step, config.steps)
            loss = _train_step(network, optimizer, batch, lr)
            wish = torch.tensor(float(stop.wanted))
            # One small sum a step lets every rank see the same loss and stop after the same step.
            total, matches, wishes = world.sum([loss, batch.valid.sum(), wish])
            step += 1
            meter.steps += 1
            mean = total / world.size
            if not math.isfinite(mean):
                raise DivergedError(
                    f"The loss became {mean} at step {step} (lr {lr:g}). Nothing of this step was saved: "
                    "run again with a lower --lr to go on from the last checkpoint, or anew elsewhere."
                )
            stopped = wishes > 0 and step < config.steps
            last = stopped or step == config.steps
            if log is None:
                continue
            log.advance(step)
            if last or step == 1 or step % config.log_every == 0:
                values = {"loss": mean, "loss_view": mean, "lr": lr, **meter.read()}
                log.write(step, {**values, "matches": matches / config.batch_size})
            if last or step % config.checkpoint.every == 0:
                checkpoint.save(run, step, model, optimizer, loader.state(), config)
    return Outcome(step, stopped)


def _distribute(model: ViewModel, world: World) -> nn.Module:
    if world.size == 1:
        return model
    return DistributedDataParallel(model, device_ids=[world.device] if world.device.type == "cuda" else None)


def _batches(loader: PairLoader, rows: int, world: World) -> Generator[PairBatch, None, None]:
    for pairs in loader:
        yield stack_pairs(pairs, rows).to(world.device)


def _train_step(network: nn.Module, optimizer: SGD, batch: PairBatch, lr: float) -> Tensor:
    """One update; the loss before it, () float32 on the batch's device."""
    optimizer.param_groups[0]["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    loss: Tensor = network(batch.image_a, batch.image_b, batch.matches, batch.valid)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


class _Meter:
    """Speed and waiting since the last look."""

    def __init__(self, batch_size: int) -> None:
        self._batch = batch_size
        self._since = time.perf_counter()
        self.steps = 0
        self.waited = 0.0

    def read(self) -> dict[str, float]:
        """Pairs a second over all ranks, and the share of time in [0, 1] that rank 0 waited for data."""
        now = time.perf_counter()
        elapsed = max(now - self._since, 1e-9)
        values = {
            "samples_per_s": self.steps * self._batch / elapsed,
            "data_wait": min(1.0, self.waited / elapsed),
        }
        self._since, self.steps, self.waited = now, 0, 0.0
        return values
