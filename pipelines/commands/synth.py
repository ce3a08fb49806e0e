"""`pri3d-data synth DATASET`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from pri3d_data.synth.kitti import KittiSynth, write_kitti
from pri3d_data.synth.megadepth import MegaDepthSynth, write_megadepth
from pri3d_data.synth.scannet import ScanNetSynth, write_scannet


@click.group("synth")
def command() -> None:
    """Write made-up raw captures, byte for byte as a data set's authors publish theirs.

    Rooms and streets with known surfaces and cameras: for trying things out without a licence, and for tests
    that know the true answer.
    """


@command.command("scannet")
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="RAW")
@click.option("--scenes", type=click.IntRange(min=1), default=4, show_default=True, help="Captures to make.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--frames", type=click.IntRange(min=1), default=120, show_default=True, help="Frames a capture."
)
@click.option(
    "--noise/--no-noise", default=False, show_default=True, help="Sensor noise in depth and colour."
)
@click.option("--holes/--no-holes", default=False, show_default=True, help="Holes in the depth images.")
def scannet(output: Path, scenes: int, seed: int, frames: int, noise: bool, holes: bool) -> None:
    """Write SCENES procedural ScanNet scans: .sens, .txt, mesh, 2D labels and instances.

    \b
    pri3d-data synth scannet --output RAW --scenes 4
    pri3d-data build scannet --input RAW --output OUT --stride 5
    """
    write_rooms(output, scenes, seed, ScanNetSynth(frames=frames, noise=noise, holes=holes))
    click.echo(f"{scenes} scans in {output / 'scans'}")


@command.command("kitti")
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="RAW")
@click.option("--scenes", type=click.IntRange(min=1), default=2, show_default=True, help="Drives to make.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    default=40,
    show_default=True,
    help="Frames a drive.",
)
def kitti(output: Path, scenes: int, seed: int, frames: int) -> None:
    """Write SCENES drives through procedural streets: image_02, velodyne_points, oxts, calibration.

    \b
    pri3d-data synth kitti --output RAW --scenes 2
    pri3d-data build kitti --input RAW --output OUT
    """
    with _rendering(scenes * frames) as rendered:
        write_kitti(output, scenes, seed, KittiSynth(frames=frames), rendered)
    click.echo(f"{scenes} drives in {output}")


@command.command("megadepth")
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="RAW")
@click.option(
    "--scenes", type=click.IntRange(min=1), default=2, show_default=True, help="Collections to make."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--photos", type=click.IntRange(min=1), default=24, show_default=True, help="Photos a collection."
)
def megadepth(output: Path, scenes: int, seed: int, photos: int) -> None:
    """Write SCENES procedural photo collections: bent photos, COLMAP models, undistorted photos, depth.

    \b
    pri3d-data synth megadepth --output RAW --scenes 2
    pri3d-data build megadepth --input RAW --output OUT
    """
    with _rendering(scenes * photos) as rendered:
        write_megadepth(output, scenes, seed, MegaDepthSynth(photos=photos), rendered)
    click.echo(f"{scenes} photo collections in {output}")


def write_rooms(output: Path, scenes: int, seed: int, spec: ScanNetSynth) -> None:
    """Write captures with a progress bar on standard error."""
    with _rendering(scenes * spec.frames) as rendered:
        write_scannet(output, scenes=scenes, seed=seed, spec=spec, on_frame=rendered)


@contextmanager
def _rendering(frames: int) -> Iterator[Callable[[str, int, int], None]]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("rendering", total=frames)

        def rendered(scene: str, frame: int, frames: int) -> None:
            progress.update(task, advance=1, description=f"rendering {scene}")

        yield rendered
