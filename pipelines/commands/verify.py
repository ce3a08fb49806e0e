"""`pri3d-data verify OUT`."""

from __future__ import annotations

import json
import sys

import click
from rich.console import Console
from rich.progress import Progress

from shards.dataset import Dataset
from shards.verify import verify


@click.command("verify")
@click.argument("out")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: a list of problems, empty where all is well."
)
def command(out: str, as_json: bool) -> None:
    """Check every shard of OUT against its sha256, decode every sample, compare tables with tars.

    Exit status 0 where all is as it was written, 1 otherwise.

    \b
    pri3d-data verify OUT
    """
    dataset = Dataset(out)
    total = int(dataset.about["totals"]["bytes"])
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("verifying", total=total)
        problems = list(verify(dataset, lambda size: progress.advance(task, size)))
    if as_json:
        click.echo(json.dumps([problem.described() for problem in problems], indent=2))
    else:
        for problem in problems:
            click.echo(str(problem))
        told = dataset.about["totals"]
        if problems:
            click.echo(f"{len(problems)} problems. `pri3d-data repair {out}` builds what is damaged again.")
        else:
            click.echo(
                f"All is as it was written: {told['shards']} shards, {told['scenes']} scenes, "
                f"{told['frames']} frames decoded, {told['bytes'] / 1e6:.1f} MB."
            )
    sys.exit(1 if problems else 0)
