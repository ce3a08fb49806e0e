"""`pri3d-data inspect OUT [KEY]`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pri3d_data.images import encode_png_color
from shards.dataset import Dataset
from shards.inspection import describe, draw


@click.command("inspect")
@click.argument("out")
@click.argument("key", required=False)
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the picture.")
@click.option("--json", "as_json", is_flag=True, help="Print what is known of KEY as JSON; draw nothing.")
def command(out: str, key: str | None, png: Path | None, as_json: bool) -> None:
    """Draw what OUT holds: a scene's frames and some of its pairs with their matches, as one PNG.

    KEY is a scene, a frame (scene/000025) or a pair (scene/000025-000050); without it the first scene.

    \b
    pri3d-data inspect OUT
    pri3d-data inspect OUT scene0000_00 --png scene.png
    pri3d-data inspect OUT scene0000_00/000025 --json
    """
    if as_json:
        click.echo(json.dumps(describe(Dataset(out), key), indent=2))
        return
    picture = draw(Dataset(out), key)
    path = png or Path(f"inspect-{picture.key.replace('/', '-')}.png")
    path.write_bytes(encode_png_color(picture.pixels))
    click.echo(f"{path}: {picture.caption}")
