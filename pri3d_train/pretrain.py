"""The pre-training loop: stream, step, log, checkpoint, and a way out between any two steps."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import nn
from torch.optim import SGD

from pri3d_data.errors import UsageError
from pri3d_train import checkpoint
from pri3d_train.augmentation import Recipe, augment_batch, draw_recipes
from pri3d_train.averaged import AveragedWeights
from pri3d_train.config import BackendName, PretrainConfig
from pri3d_train.distributed import World
from pri3d_train.divergence import stop_diverged
from pri3d_train.initialise import initialise
from pri3d_train.interruption import StopRequest
from pri3d_train.loader import PairLoader, PairSource
from pri3d_train.metrics_log import RunLog
from pri3d_train.pair_batch import PairBatch, stack_pairs
from pri3d_train.pair_model import PairModel, sparse_network
from pri3d_train.train_step import TrainStep, place
from pri3d_train.trivial import TrivialStream


@dataclass(frozen=True)
class Outcome:
    """``step`` finished steps; ``stopped`` if a signal ended the run before its last one.

    ``out_of_time`` if that was SIGUSR1, on any rank.
    """

    step: int
    stopped: bool
    out_of_time: bool = False


def pretrain(
    config: PretrainConfig,
    source: PairSource,
    run: Path,
    world: World,
    *,
    init: str = "",
    resume: str = "auto",
    console: Console | None = None,
    sparse: Callable[[BackendName], nn.Module] = sparse_network,
    wandb: str = "",
) -> Outcome:
    """Train on ``source`` until ``config.steps`` or until a signal (`StopRequest`), writing all to ``run``.

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
        sparse: makes the 3D network for a backend's name.
        wandb: project of Weights & Biases to log to as well; none if empty.

    Raises:
        UsageError: batch, ranks, lanes, losses, data or checkpoint do not go together.
        DataError: a file is not what it claims to be.
        StorageError: the disk refuses, or a loader process died; the run can be resumed.
        DivergedError: the loss became NaN or infinite.
    """
    console = console or Console(stderr=True)
    start_file = checkpoint.choose(run, resume)
    source = checked(config, source)
    model = make_model(config, world, sparse)
    said = "" if start_file or not init else initialise(model, init)
    place(model, config, world)
    sgd = {k: v for k, v in config.as_dict()["sgd"].items() if k != "lr"}
    optimizer = SGD(model.parameters(), lr=config.sgd.lr, **sgd)
    average = AveragedWeights(model, config.compute.ema) if config.compute.ema and world.is_main else None
    step, position = 0, None
    if start_file:
        progress, said = checkpoint.restore(start_file, model, optimizer, config, average)
        step, position = progress.step, progress.stream
        # The checkpoint's optimiser brings its own settings; those of this run are what the user asked for.
        optimizer.param_groups[0].update(sgd)
        said = f"Going on after step {step}: {said}"
    if said and world.is_main:
        console.print(said, soft_wrap=True, highlight=False)
    loader = PairLoader(
        source,
        batch_size=world.share_of(config.batch_size, config.compute.accumulate),
        rank=world.rank,
        ranks=world.size,
        workers=config.workers,
        state=position,
    )
    stopped = out_of_time = False
    with ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        log = stack.enter_context(RunLog(run, step, config, console, wandb)) if world.is_main else None
        if step < config.steps:
            update = TrainStep(config, model, optimizer, average, world)
            pieces = stack.enter_context(closing(batches(loader, config, world)))
            meter = _Meter(config.batch_size)
        while step < config.steps and not stopped:
            waiting = time.perf_counter()
            stacked = next(pieces)
            meter.waited += time.perf_counter() - waiting
            batch = [augment_batch(piece, recipes) if recipes else piece for piece, recipes in stacked]
            terms = update(batch, step)
            matches = torch.stack([piece.valid.sum() for piece in batch]).sum()
            asked = [torch.tensor(float(wish)) for wish in (stop.wanted, stop.out_of_time)]
            # One small sum a step lets every rank see the same losses and stop after the same step.
            *sums, all_matches, wishes, alarms = world.sum([*terms.values(), matches, *asked])
            values = {name: total / world.size for name, total in zip(terms, sums, strict=True)}
            step += 1
            meter.steps += 1
            if not math.isfinite(values["loss"]):
                stop_diverged(run, step, update.rate(step - 1), values, terms, batch, world)
            stopped = wishes > 0 and step < config.steps
            out_of_time = stopped and alarms > 0
            last = stopped or step == config.steps
            if log is None:
                continue
            log.advance(step)
            if last or step == 1 or step % config.log_every == 0:
                values |= {"lr": update.rate(step - 1), **meter.read()}
                log.write(step, {**values, "matches": all_matches / config.batch_size})
            if last or step % config.checkpoint.every == 0:
                checkpoint.save(run, step, model, optimizer, loader.state(), config, average)
    return Outcome(step, stopped, out_of_time)


def checked(config: PretrainConfig, source: PairSource) -> PairSource:
    """The stream to train on.

    Raises:
        UsageError: the losses ask for geometry and ``source`` has none.
    """
    if "geo" in config.losses.terms and not getattr(source, "has_geometry", False):
        raise UsageError(
            "--geo trains on voxels, and this data set holds no geometry: build it again from captures with "
            "a surface mesh, or train with --view alone."
        )
    return TrivialStream(source) if config.trivial else source


def make_model(config: PretrainConfig, world: World, sparse: Callable[[BackendName], nn.Module]) -> PairModel:
    """The networks with the weights that ``config.seed`` gives them, on the CPU; sets torch's seed."""
    torch.manual_seed(config.seed)
    backbone3d = sparse(config.backend) if "geo" in config.losses.terms else None
    return PairModel(config.backbone, config.losses, backbone3d)


def batches(
    loader: PairLoader, config: PretrainConfig, world: World
) -> Generator[list[tuple[PairBatch, list[Recipe]]], None, None]:
    """This rank's part of every step on its device, in ``accumulate`` equal pieces.

    With each come the recipes its images wait for: first frames', then second frames'; none without
    augmentation.
    """
    for pairs in loader:
        recipes = [
            draw_recipes(config.seed, epoch, pair) if config.augment else ()
            for pair, epoch in zip(pairs, loader.epochs, strict=True)
        ]
        pieces = []
        for first in range(0, len(pairs), len(pairs) // config.compute.accumulate):
            chosen = slice(first, first + len(pairs) // config.compute.accumulate)
            stacked = stack_pairs(pairs[chosen], config.matches, config.losses.terms).to(world.device)
            sides = zip(*recipes[chosen], strict=True)
            pieces.append((stacked, [recipe for side in sides for recipe in side]))
        yield pieces


class _Meter:
    """Speed and waiting since the last look, and the most memory so far."""

    def __init__(self, batch_size: int) -> None:
        self._batch = batch_size
        self._since = time.perf_counter()
        self.steps = 0
        self.waited = 0.0

    def read(self) -> dict[str, float]:
        """Pairs a second over all ranks; share of time in [0, 1] rank 0 waited for data; its peak memory."""
        now = time.perf_counter()
        elapsed = max(now - self._since, 1e-9)
        values = {
            "samples_per_s": self.steps * self._batch / elapsed,
            "data_wait": min(1.0, self.waited / elapsed),
            "memory_mb": _peak_memory() / 2**20,
        }
        self._since, self.steps, self.waited = now, 0, 0.0
        return values


def _peak_memory() -> int:
    """Bytes on the GPU where there is one, of the process otherwise."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
