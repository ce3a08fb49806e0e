"""`pri3d-data demo`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from pipelines.commands.build import run_build
from pipelines.commands.stats import show
from pipelines.commands.synth import write_rooms
from pipelines.parameters import BuildParameters
from pipelines.plan import BuildRequest
from pipelines.registry import DATASETS
from pipelines.rgbd_parameters import RgbdParameters
from pri3d_data.images import encode_png_color
from pri3d_data.synth.scannet import ScanNetSynth
from shards.dataset import Dataset
from shards.inspection import draw
from shards.statistics import summarise
from shards.verify import verify

_SCENES = 3
_CAPTURE = ScanNetSynth(frames=120, pose_stride=3, noise=True, holes=True, lost_frames=(35,))
_PARAMETERS = BuildParameters(RgbdParameters(stride=5))


@click.command("demo")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("pri3d-demo"),
    show_default=True,
    metavar="DIR",
    help="Where to put everything.",
)
def command(output: Path) -> None:
    """Make a small capture, build it, check it and draw it. No download, under two minutes on two cores.

    Run it again, or interrupt it, as you like: it goes on where it stopped.
    """
    raw, out, picture = output / "raw", output / "shards", output / "demo.png"
    if not (raw / "scans").is_dir():
        click.echo(f"1. Making {_SCENES} rooms in ScanNet's layout …")
        part = output / "raw.part"
        write_rooms(part, _SCENES, 0, _CAPTURE)
        part.rename(raw)
    click.echo("2. Building shards …")
    request = BuildRequest(DATASETS["scannet"], str(raw), str(out), _PARAMETERS)
    status = run_build(request, min(2, os.cpu_count() or 1))
    if status > 1:
        sys.exit(status)
    dataset = Dataset(str(out))
    click.echo("3. What came out:")
    show(str(out), summarise(dataset))
    problems = list(verify(dataset))
    for problem in problems:
        click.echo(f"verify: {problem}", err=True)
    picture.write_bytes(encode_png_color(draw(dataset, None).pixels))
    click.echo(
        f"""
  raw captures   {raw}/scans           procedural rooms, as ScanNet publishes its scans
  data set       {out}                 shards, tables, dataset.json (docs/shard-format.md)
  picture        {picture}             frames, depth, pairs with their matches

Next:
  pri3d-data stats {out}
  pri3d-train pretrain --data {out} --output {output}/run --view --backbone resnet18 --steps 60 \\
      --batch-size 4"""
    )
    sys.exit(1 if problems else status)
