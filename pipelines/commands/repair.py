"""`pri3d-data repair OUT`."""

from __future__ import annotations

import json
import os
import sys

import click
from rich.console import Console
from rich.progress import Progress

from shards.damage import Damage, find_damage
from shards.dataset import Dataset


@click.command("repair")
@click.argument("out")
@click.option(
    "--input", "source", metavar="RAW", help="Where the raw captures are. [default: where they were]"
)
@click.option("--workers", "-w", type=click.IntRange(min=0), metavar="N", help="As of build.")
@click.option("--dry-run", is_flag=True, help="Say what is damaged and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print what was damaged as JSON.")
def command(out: str, source: str | None, workers: int | None, dry_run: bool, as_json: bool) -> None:
    """Build the damaged scenes of OUT again, and only those.

    Bytes are compared with the digests in the tables. Sound scenes are copied, missing and damaged ones built
    from the raw captures with the parameters they were built with, files that no table knows are removed.

    Exit status 0 where all is whole at the end, 1 where a scene could not be built, or with --dry-run where
    something is damaged.

    \b
    pri3d-data repair OUT
    pri3d-data repair s3://bucket/scannet --input /mnt/scannet --workers 16
    """
    dataset = Dataset(out)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking", total=int(dataset.about["totals"]["bytes"]))
        damage = find_damage(dataset, lambda size: progress.advance(task, size))
    if as_json:
        click.echo(
            json.dumps({"scenes": damage.scenes, "shards": damage.shards, "stray": damage.stray}, indent=2)
        )
    else:
        click.echo(_told(damage))
    if not damage or dry_run:
        sys.exit(1 if damage else 0)
    from pipelines.commands.build import run_build
    from pipelines.repair import repair_request

    sys.exit(
        run_build(
            repair_request(dataset, damage, source), os.cpu_count() or 1 if workers is None else workers
        )
    )


def _told(damage: Damage) -> str:
    if not damage:
        return "Nothing is damaged."
    lines = [f"{name}: missing or damaged" for name in damage.shards]
    lines += [f"{name}: no table knows this file" for name in damage.stray]
    lines += [f"scene {name}: to be built again" for name in damage.scenes]
    return "\n".join(lines)
