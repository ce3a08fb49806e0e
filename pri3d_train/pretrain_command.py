"""`pri3d-train pretrain`: its options, and the configuration they add up to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pri3d_data.errors import UsageError

if TYPE_CHECKING:
    from pri3d_train.config import PretrainConfig

_BACKENDS = ["auto", "torch", "spconv", "minkowski"]


@click.command()
@click.option(
    "--data",
    "datasets",
    multiple=True,
    required=True,
    metavar="OUT[:WEIGHT]",
    help="Dataset folder or URL, and its share of every batch; repeatable. [weight: a pair is a pair]",
)
@click.option("--output", required=True, type=click.Path(path_type=Path), metavar="RUN", help="Run folder.")
@click.option("--view", is_flag=True, help="Train with the view-invariance loss (pixels to pixels).")
@click.option("--geo", is_flag=True, help="Train with the geometric prior (pixels to voxels).")
@click.option("--view-weight", type=float, default=1.0, metavar="W", help="Weight of the view loss.")
@click.option("--geo-weight", type=float, default=1.0, metavar="W", help="Weight of the geo loss.")
@click.option(
    "--depth-loss",
    type=float,
    show_default="preset's: 0 or 1",
    metavar="W",
    help="Weight of the authors' depth regression; 0: off.",
)
@click.option("--trivial", is_flag=True, help="The paper's baseline: one frame twice, augmented.")
@click.option(
    "--preset",
    default="paper",
    type=click.Choice(["paper", "reference"]),
    help="Optimiser, schedule, augmentation, depth loss, and what a match with a voxel is.",
)
@click.option("--backbone", default="resnet50", type=click.Choice(["resnet18", "resnet50"]), help="Encoder.")
@click.option("--backend", default="auto", type=click.Choice(_BACKENDS), help="Sparse convolutions by.")
@click.option(
    "--augment/--no-augment", default=None, show_default="preset's", help="Colour jitter, grey, blur."
)
@click.option(
    "--steps", type=int, show_default="preset's: 60000 or 65625", help="Optimiser steps of the whole run."
)
@click.option(
    "--batch-size", type=int, show_default="64", help="Pairs a step over all ranks; each gets its part."
)
@click.option(
    "--accumulate", type=int, default=1, metavar="N", help="Pieces a rank cuts its part into, to save memory."
)
@click.option("--lr", type=float, show_default="0.1", help="Learning rate at the first step.")
@click.option("--clip", type=float, default=0.0, metavar="NORM", help="Largest norm of the gradient; 0: any.")
@click.option("--ema", type=float, default=0.0, metavar="DECAY", help="Keep averaged weights too; 0: do not.")
@click.option("--precision", default="fp32", type=click.Choice(["fp32", "bf16"]), help="bf16: autocast.")
@click.option("--compile", is_flag=True, help="torch.compile the image network.")
@click.option("--sync-bn", is_flag=True, help="Batch norm of the image network over all GPUs.")
@click.option(
    "--image-size",
    metavar="HxW",
    show_default="as stored, 240x320 if sizes differ",
    help="Larger images are cut around a match, smaller ones filled up with black.",
)
@click.option("--seed", type=int, default=0, help="Decides weights, order of samples and augmentation.")
@click.option("--workers", type=int, default=2, help="Loader processes a rank; no effect on the order.")
@click.option("--matches", type=int, default=1024, help="Matches drawn from a pair, and from a chunk.")
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
@click.option("--wandb", default="", metavar="PROJECT", help="Log to Weights & Biases as well.")
@click.option("--requeue", is_flag=True, help="After SIGUSR1, have SLURM run this job again.")
@click.option("--dry-run", is_flag=True, help="Time a step, print the plan, write nothing.")
@click.pass_context
def pretrain(ctx: click.Context, /, datasets: tuple[str, ...], output: Path, **options: Any) -> None:
    """Pre-train a ResUNet on pairs of frames.

    Ctrl-C, SIGTERM or SIGUSR1 saves a checkpoint and ends with status 3; the same command then goes on with
    the next pair. (Under torchrun the launcher's own status is 1 whenever a rank's is not 0.)

    \b
    Examples:
      pri3d-train pretrain --data shards/ --output runs/first --view --geo --backbone resnet18
      pri3d-train pretrain --data a/:0.7 --data s3://bucket/b:0.3 --output runs/both --view --init r50.pth
      torchrun --nproc-per-node 8 -m pri3d_train pretrain --data shards/ --output runs/eight --view --geo
      pri3d-train pretrain --data shards/ --output runs/big --view --geo --precision bf16 --dry-run
    """
    if not (options["view"] or options["geo"]):
        raise UsageError("Nothing to train: add --view (pixels to pixels), --geo (pixels to voxels) or both.")
    if "://" in str(output) or ":/" in str(output):
        raise UsageError(
            "A run folder is local, since checkpoints are renamed into place: give --output a path."
        )
    from pri3d_train.data_choice import parse_data, parse_size
    from pri3d_train.distributed import join_world
    from pri3d_train.dry_run import plan
    from pri3d_train.pretrain import pretrain as run
    from pri3d_train.requeue import own_job, requeue
    from pri3d_train.scene_choice import parse_scenes
    from shards.stream import PairStream

    config = configured(options)
    job = own_job() if options["requeue"] else ""
    with join_world() as world:
        scenes = parse_scenes(options["hold_out"], exclude=True)
        roots, weights = parse_data(datasets)
        source = PairStream(
            roots,
            seed=config.seed,
            weights=weights,
            size=parse_size(options["image_size"]),
            matches=config.matches,
            scenes=scenes,
            geometry=options["preset"] if options["geo"] else "none",
            depth="depth" in config.losses.terms,
        )
        if scenes is not None:
            scenes.check("--hold-out")
        if options["dry_run"]:
            lines = plan(config, source, world)
            if world.is_main:
                click.echo("\n".join(lines))
            return
        outcome = run(
            config,
            source,
            output,
            world,
            init=options["init"],
            resume=options["resume"],
            wandb=options["wandb"],
        )
        if world.is_main:
            ending = "Stopped, resumable by the same command," if outcome.stopped else "Done"
            click.echo(f"{ending} at step {outcome.step} of {config.steps}: {output}", err=True)
            if job and outcome.out_of_time:
                click.echo(requeue(job), err=True)
    if outcome.stopped:
        ctx.exit(3)


def configured(options: dict[str, Any]) -> PretrainConfig:
    """The preset with what the command line changes of it.

    Raises:
        UsageError: an option cannot work.
    """
    from pri3d_train import config as configs

    base = configs.preset(options["preset"])
    given = {name: options[name] for name in ("steps", "batch_size", "augment") if options[name] is not None}
    same = ("backbone", "backend", "trivial", "seed", "matches", "workers", "log_every")
    return replace(
        base,
        **{name: options[name] for name in same},
        **given,
        sgd=base.sgd if options["lr"] is None else replace(base.sgd, lr=options["lr"]),
        checkpoint=configs.CheckpointConfig(options["checkpoint_every"], options["keep"]),
        losses=configs.LossConfig(
            options["view_weight"] if options["view"] else 0.0,
            options["geo_weight"] if options["geo"] else 0.0,
            base.losses.depth if options["depth_loss"] is None else options["depth_loss"],
        ),
        compute=configs.ComputeConfig(
            **{
                name: options[name]
                for name in ("precision", "compile", "accumulate", "clip", "sync_bn", "ema")
            }
        ),
    )
