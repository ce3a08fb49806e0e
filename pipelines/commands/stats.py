"""`pri3d-data stats OUT`."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from shards.dataset import Dataset
from shards.statistics import summarise


@click.command("stats")
@click.argument("out")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(out: str, as_json: bool) -> None:
    """Count scenes, frames, pairs and bytes of OUT; overlap histogram, time by stage, failures.

    \b
    pri3d-data stats OUT
    pri3d-data stats OUT --json | jq .pairs
    """
    summary = summarise(Dataset(out))
    if as_json:
        click.echo(json.dumps(summary, indent=2))
    else:
        show(out, summary)


def show(out: str, summary: dict[str, Any]) -> None:
    """Print a summary as tables."""
    console = Console()
    table = Table(title=f"{out} ({summary['dataset']})", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name in ("scenes", "frames", "pairs"):
        spread = summary.get(f"{name}_per_scene")
        text = (
            f"  ({spread['least']}-{spread['most']} a scene, median {spread['median']:g})" if spread else ""
        )
        table.add_row(name, f"{summary[name]}{text}")
    table.add_row("shards", str(summary["shards"]))
    table.add_row(
        "bytes", f"{summary['bytes'] / 1e6:.1f} MB ({summary['bytes_per_pair'] / 1e3:.1f} kB a pair)"
    )
    without = summary["scenes_without_geometry"], summary["scenes_without_pairs"]
    table.add_row("scenes without geometry / pairs", f"{without[0]} / {without[1]}")
    for stage, seconds in summary["seconds_by_stage"].items():
        table.add_row(f"time in {stage}", f"{seconds:.1f} s")
    for stage, count in summary["failures_by_stage"].items():
        table.add_row(f"failures in {stage}", str(count))
    console.print(table)
    histogram = summary["overlap_histogram"]
    most = max([*histogram["pairs"], 1])
    console.print("pairs by overlap")
    for low, high, count in zip(histogram["edges"], histogram["edges"][1:], histogram["pairs"], strict=False):
        console.print(f"  {low:.1f}-{high:.1f} {'█' * round(40 * count / most)} {count}", highlight=False)
