"""The `pri3d-train` command; torch is imported by the subcommands, so that help appears at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from pri3d_data.errors import Pri3DError, UsageError
from pri3d_train.pretrain_command import pretrain
from pri3d_train.probe_command import probe


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
main.add_command(probe)


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
