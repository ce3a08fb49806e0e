"""The `pri3d-train` command; torch is imported by the subcommands, so that help appears at once."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pri3d_data.errors import Pri3DError, UsageError


class _CleanErrors(click.Group):
    """Prints errors a user can meet as one message, with the exit status they stand for."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Pri3DError as error:
            rank = os.environ.get("RANK", "0")
            # A wrong option is wrong on every rank alike; one of them saying so is enough.
            if rank == "0" or not isinstance(error, UsageError):
                click.echo(f"pri3d-train{'' if rank == '0' else f' (rank {rank})'}: {error}", err=True)
            ctx.exit(error.exit_status)
        except KeyboardInterrupt:
            click.echo("pri3d-train: interrupted at once; the last checkpoint stays as it is.", err=True)
            ctx.exit(3)


@click.group(cls=_CleanErrors, context_settings={"max_content_width": 100, "show_default": True})
def main() -> None:
    """Pre-train image networks with 3D priors (Pri3D) on data that `pri3d-data build` wrote.

    Exit status: 0 done, 2 wrong use or data, 3 stopped and resumable by the same command.
    """


@main.command()
@click.option(
    "--data",
    "datasets",
    multiple=True,
    required=True,
    metavar="OUT",
    help="Dataset folder or URL; repeatable.",
)
@click.option("--output", required=True, type=click.Path(path_type=Path), metavar="RUN", help="Run folder.")
@click.option("--view", is_flag=True, help="Train with the view-invariance loss (pixels to pixels).")
@click.option(
    "--preset", default="paper", type=click.Choice(["paper", "reference"]), help="Optimiser and schedule."
)
@click.option("--backbone", default="resnet50", type=click.Choice(["resnet18", "resnet50"]), help="Encoder.")
@click.option(
    "--steps", type=int, show_default="preset's: 60000 or 65625", help="Optimiser steps of the whole run."
)
@click.option(
    "--batch-size", type=int, show_default="64", help="Pairs a step over all ranks; each gets its part."
)
@click.option("--lr", type=float, show_default="0.1", help="Learning rate at the first step.")
@click.option("--seed", type=int, default=0, help="Decides weights and order of samples.")
@click.option("--workers", type=int, default=2, help="Loader processes a rank; no effect on the order.")
@click.option("--matches", type=int, default=1024, help="Matches drawn from a pair.")
@click.option(
    "--init", default="", metavar="FILE", help="First weights: a torchvision ResNet or a Pri3D checkpoint."
)
@click.option(
    "--hold-out", default="", metavar="SCENES", help="Scenes to leave out: names or globs, by commas."
)
@click.option(
    "--resume", default="auto", metavar="auto|never|PATH", help="Go on from RUN's newest checkpoint, or PATH."
)
@click.option(
    "--checkpoint-every", type=int, default=1000, metavar="STEPS", help="Besides at the end and when stopped."
)
@click.option("--keep", type=int, default=3, help="Checkpoints that stay on disk.")
@click.option("--log-every", type=int, default=10, metavar="STEPS", help="Lines of RUN/log.jsonl.")
@click.pass_context
def pretrain(
    ctx: click.Context,
    datasets: tuple[str, ...],
    output: Path,
    view: bool,
    preset: str,
    backbone: str,
    steps: int | None,
    batch_size: int | None,
    lr: float | None,
    seed: int,
    workers: int,
    matches: int,
    init: str,
    hold_out: str,
    resume: str,
    checkpoint_every: int,
    keep: int,
    log_every: int,
) -> None:
    """Pre-train a ResUNet on pairs of frames.

    Ctrl-C or SIGTERM saves a checkpoint and ends with status 3; the same command then goes on with the next
    pair. (Under torchrun the launcher's own status is 1 whenever a rank's is not 0.)

    \b
    Examples:
      pri3d-train pretrain --data shards/ --output runs/first --view --backbone resnet18
      pri3d-train pretrain --data a/ --data s3://bucket/b --output runs/both --view --init resnet50.pth
      torchrun --nproc-per-node 8 -m pri3d_train pretrain --data shards/ --output runs/eight --view
    """
    if not view:
        raise UsageError(
            "Nothing to train: add --view. The geometric prior (--geo) comes in a later version."
        )
    if "://" in str(output) or ":/" in str(output):
        raise UsageError(
            "A run folder is local, since checkpoints are renamed into place: give --output a path."
        )
    from pri3d_train import config as configs
    from pri3d_train.distributed import join_world
    from pri3d_train.pretrain import pretrain as run
    from pri3d_train.scene_choice import parse_scenes
    from shards.stream import PairStream

    base = configs.preset(preset)
    config = replace(
        base,
        backbone=backbone,  # type: ignore[arg-type]
        steps=base.steps if steps is None else steps,
        batch_size=base.batch_size if batch_size is None else batch_size,
        seed=seed,
        matches=matches,
        workers=workers,
        log_every=log_every,
        sgd=base.sgd if lr is None else replace(base.sgd, lr=lr),
        checkpoint=configs.CheckpointConfig(checkpoint_every, keep),
    )
    with join_world() as world:
        scenes = parse_scenes(hold_out, exclude=True)
        source = PairStream(datasets, seed=seed, matches=matches, scenes=scenes)
        if scenes is not None:
            scenes.check("--hold-out")
        outcome = run(config, source, output, world, init=init, resume=resume)
        if world.is_main:
            ending = "Stopped, resumable by the same command," if outcome.stopped else "Done"
            click.echo(f"{ending} at step {outcome.step} of {config.steps}: {output}", err=True)
    if outcome.stopped:
        ctx.exit(3)


@main.command()
@click.option(
    "--data",
    "datasets",
    multiple=True,
    required=True,
    metavar="OUT",
    help="Dataset folder or URL; repeatable.",
)
@click.option(
    "--checkpoint",
    required=True,
    metavar="RUN_OR_FILE",
    help="Run folder or checkpoint, ours or the authors'.",
)
@click.option("--scenes", default="", metavar="SCENES", help="Only these scenes: names or globs, by commas.")
@click.option("--pairs", type=int, default=64, help="Pairs to measure.")
@click.option("--matches", type=int, default=1024, help="Matches drawn from a pair.")
@click.option("--seed", type=int, default=0, help="Decides the pairs, matches and random pixels.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def probe(
    datasets: tuple[str, ...],
    checkpoint: str,
    scenes: str,
    pairs: int,
    matches: int,
    seed: int,
    as_json: bool,
) -> None:
    """Measure how far apart matched and random pixels are in feature space.

    \b
    Example, on scenes the run was told to --hold-out:
      pri3d-train probe --data shards/ --checkpoint runs/first --scenes "scene07*" --pairs 200
    """
    if pairs < 1 or matches < 1:
        raise UsageError(
            "There is nothing to measure with no pairs or no matches: give --pairs and --matches above 0."
        )
    import torch

    from pri3d_train.initialise import load_network
    from pri3d_train.margin import first_pairs, measure
    from pri3d_train.scene_choice import parse_scenes
    from shards.stream import PairStream

    model, said = load_network(checkpoint)
    choice = parse_scenes(scenes, exclude=False)
    source = PairStream(datasets, seed=seed, matches=matches, scenes=choice)
    if choice is not None:
        choice.check("--scenes")
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    result = measure(model, first_pairs(source, pairs), matches=matches, seed=seed)
    if as_json:
        click.echo(json.dumps({"checkpoint": checkpoint, **result.as_dict()}))
        return
    click.echo(said)
    click.echo(
        f"{result.pairs} pairs: cosine of matched pixels {result.matched:.3f}, "
        f"of random ones {result.random:.3f}"
    )
    click.echo(f"margin {result.margin:.3f}, partner found within 5 px {result.retrieval:.1%}")
