"""The `pri3d-train` command; torch is imported by the subcommands, so that help appears at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from pri3d_data.errors import Pri3DError, UsageError
from pri3d_train.pretrain_command import pretrain


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


main.add_command(pretrain)


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
@click.option("--ema", is_flag=True, help="Probe the averaged weights of a run with --ema.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def probe(
    datasets: tuple[str, ...],
    checkpoint: str,
    scenes: str,
    pairs: int,
    matches: int,
    seed: int,
    ema: bool,
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

    model, said = load_network(checkpoint, ema=ema)
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


@main.command()
@click.argument("source", metavar="SOURCE")
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False), metavar="TARGET")
@click.option(
    "--to",
    "layout",
    required=True,
    type=click.Choice(["torchvision", "detectron2", "pri3d"]),
    help="Whose layout to write.",
)
@click.option("--ema", is_flag=True, help="Take the averaged weights of a run with --ema.")
def convert(source: str, target: Path, layout: Any, ema: bool) -> None:
    """Take the encoder out of SOURCE and write it to TARGET as another project reads it.

    SOURCE is a run folder, a Pri3D checkpoint, a MoCo v2 checkpoint or a torchvision ResNet; which, its keys
    tell.

    \b
    Examples:
      pri3d-train convert runs/first encoder.pth --to torchvision
      pri3d-train convert encoder.pth encoder.pkl --to detectron2
      pri3d-train convert moco_v2_800ep.pth.tar start.pth --to pri3d
    """
    from pri3d_train.convert import convert as write

    click.echo(write(source, target, layout, ema=ema))
