"""What pre-training teaches: the paper's objectives side by side on made-up rooms, probed in rooms held out.

Every variant sees the same pairs in the same order for the same number of steps, from random weights. Shards,
runs and probes are made with the commands a user has; what is finished is kept below --output, so that the
same command goes on where it was stopped.
"""

from __future__ import annotations

import measure

# isort: split
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from pri3d_data.atomic_file import atomic_file
from pri3d_data.synth.request import scene_seed
from pri3d_data.synth.scannet import ScanNetSynth, write_scannet_capture
from pri3d_data.synth.scannet_spec import scene_name

#: A rate whose updates vanish in float32: weights stay as they were drawn, batch norm gets its statistics.
_STILL = "1e-30"
_SETTLING_STEPS = 40
#: Of the rooms trained on, and as many of those held out.
_PROBED_FRAMES = 120
#: The rooms' own cameras are larger than what is trained on; steps of 0.4 s give overlaps from 0 to 0.9.
_CAPTURE = ScanNetSynth(
    color_size=(256, 192), depth_size=(128, 96), noise=True, holes=True, pose_stride=12, mesh_spacing_m=0.04
)
VARIANTS = {
    "untrained": ["--view", "--lr", _STILL],
    "trivial": ["--view", "--trivial"],
    "view": ["--view"],
    "geo": ["--geo"],
    "view+geo": ["--view", "--geo"],
    # Its encoder alone is trained, by moco.py; the decoder's weights are those of the untrained network.
    "moco": ["--view", "--lr", _STILL],
}
_DEFAULT = "untrained,trivial,view,geo,view+geo"
FIGURES = {
    "linear_miou": "linear probe, mean IoU",
    "linear_class_accuracy": "linear probe, classes",
    "linear_accuracy": "linear probe, pixels",
    "margin": "margin",
    "retrieval": "found within 5 px",
    "retrieval_2cm": "found within 2 cm",
    "seconds": "s / step",
}
_COMPARED = ("linear_miou", "linear_class_accuracy")
#: What the paper claims, as pairs (better, worse).
ORDER = (
    ("view+geo", "view"),
    ("view+geo", "geo"),
    ("view", "trivial"),
    ("geo", "trivial"),
    ("view", "untrained"),
    ("geo", "untrained"),
    ("trivial", "untrained"),
)


@dataclass(frozen=True)
class Settings:
    """All that decides the figures.

    ``rooms`` are trained on and ``held_out`` measured; ``frames`` is of each. ``options`` go to every run.
    """

    rooms: int
    held_out: int
    frames: int
    image_size: str
    voxel_m: float
    steps: int
    batch_size: int
    lr: float
    pairs: int
    options: tuple[str, ...]

    @property
    def held_out_scenes(self) -> str:
        """Names of the rooms that are measured."""
        return ",".join(scene_name(room) for room in range(self.rooms, self.rooms + self.held_out))

    @property
    def train_scenes(self) -> str:
        """Names of the rooms that are trained on."""
        return ",".join(scene_name(room) for room in range(self.rooms))


def prepare(folder: Path, settings: Settings) -> Path:
    """Captures and shards below ``folder``; what is there already stays.

    Raises:
        click.UsageError: the folder belongs to other settings.
    """
    known = folder / "settings.json"
    # As JSON gives them back: tuples are lists there.
    mine = json.loads(json.dumps(asdict(settings)))
    if known.exists() and json.loads(known.read_text()) != mine:
        raise click.UsageError(f"{folder} holds figures of other settings ({known}): give another --output.")
    write(known, mine)
    raw, out = folder / "raw", folder / "shards"
    spec = ScanNetSynth(**(asdict(_CAPTURE) | {"frames": settings.frames}))
    for room in range(settings.rooms + settings.held_out):
        done = raw / f"{scene_name(room)}.done"
        if not done.exists():
            write_scannet_capture(raw, scene_name(room), spec, scene_seed(0, room))
            done.touch()
    build = ["-m", "pipelines.cli", "build", "scannet", "--input", raw, "--output", out, "--stride", 1]
    build += ["--image-size", settings.image_size, "--voxel-m", settings.voxel_m, "--labels", "--workers", 0]
    command(*build)
    return out


def figures_of(folder: Path, shards: Path, settings: Settings, variant: str, seed: int) -> dict[str, Any]:
    """Train and probe one variant, or read what an earlier call found."""
    result = folder / "results" / f"{variant}-{seed}.json"
    if result.exists():
        found: dict[str, Any] = json.loads(result.read_text())
        return found
    run = folder / "runs" / f"{variant}-{seed}"
    still = _STILL in VARIANTS[variant]
    steps = min(settings.steps, _SETTLING_STEPS) if still else settings.steps
    began = time.perf_counter()
    train = ["-m", "pri3d_train", "pretrain", "--data", shards, "--output", run, "--backbone", "resnet18"]
    train += ["--lr", settings.lr, "--augment", *VARIANTS[variant], "--seed", seed, "--steps", steps]
    train += ["--batch-size", settings.batch_size, "--hold-out", settings.held_out_scenes, "--workers", 0]
    if variant == "moco":
        moco = [Path(__file__).with_name("moco.py"), "--data", shards, "--output", run / "encoder.pth"]
        moco += ["--hold-out", settings.held_out_scenes, "--seed", seed, "--steps", settings.steps]
        command(*moco, "--batch-size", 2 * settings.batch_size)
        train += ["--init", run / "encoder.pth"]
    command(*train, "--keep", 1, "--log-every", 10, "--checkpoint-every", 50, *settings.options)
    seconds = time.perf_counter() - began
    probe = ["-m", "pri3d_train", "probe", "--data", shards, "--checkpoint", run, "--pairs", settings.pairs]
    probe += ["--scenes", settings.held_out_scenes, "--train-scenes", settings.train_scenes]
    found = json.loads(command(*probe, "--frames", _PROBED_FRAMES, "--json"))
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    rates = [line["samples_per_s"] for line in log[1:]] or [settings.batch_size * steps / seconds]
    found |= {"variant": variant, "seed": seed, "steps": steps, "first": log[0], "last": log[-1]}
    # The median line, since a run that was stopped and resumed has no one duration.
    found["seconds"] = settings.batch_size / statistics.median(rates)
    write(result, found)
    return found


def command(*arguments: object) -> str:
    """Standard output of Python with these arguments.

    Raises:
        click.ClickException: it failed.
    """
    words = [sys.executable, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(
            f"{' '.join(words[1:])} ended with {done.returncode}:\n{done.stderr[-2000:]}"
        )
    return done.stdout


def write(file: Path, content: dict[str, Any]) -> None:
    """Whole or not at all."""
    with atomic_file(file) as stream:
        stream.write((json.dumps(content, indent=2) + "\n").encode())


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation, which is 0 for one value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def compare(found: dict[str, list[dict[str, Any]]], better: str, worse: str, figure: str) -> dict[str, float]:
    """By how much one variant has more of a figure than another, seed by seed."""
    by_seed = [{run["seed"]: run[figure] for run in found[name]} for name in (better, worse)]
    gains = [by_seed[0][seed] - by_seed[1][seed] for seed in by_seed[0].keys() & by_seed[1].keys()]
    mean, spread = mean_and_spread(gains)
    return {"mean": mean, "spread": spread, "seeds_won": sum(gain > 0 for gain in gains), "seeds": len(gains)}


def report_on(found: dict[str, list[dict[str, Any]]], settings: Settings, seeds: int) -> measure.Report:
    """The table: mean ± sample standard deviation over the seeds."""
    report = measure.Report("learning", {**asdict(settings), "seeds": seeds}, {"what": "", **FIGURES})
    report.setting["options"] = " ".join(settings.options)
    for variant, runs in found.items():
        row = {"what": variant}
        for figure in FIGURES:
            mean, spread = mean_and_spread([run[figure] for run in runs])
            row[figure] = f"{mean:.3f} ± {spread:.3f}"
            report.figures[f"{variant}_{figure}"] = {"mean": mean, "spread": spread}
        report.rows.append(row)
    for better, worse in ORDER:
        if better in found and worse in found:
            gains = {figure: compare(found, better, worse, figure) for figure in _COMPARED}
            report.figures[f"{better}_over_{worse}"] = gains
            said = [
                f"{gain['mean']:+.3f} ± {gain['spread']:.3f} {FIGURES[figure]} ({gain['seeds_won']} of "
                f"{gain['seeds']} seeds)"
                for figure, gain in gains.items()
            ]
            report.notes.append(f"{better} over {worse}: {', '.join(said)}")
    report.figures["runs"] = found
    return report


@click.command()
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="Folder of captures, shards, runs."
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--variants", default=_DEFAULT, show_default=True, help="Which, by commas; moco too.")
@click.option("--rooms", type=click.IntRange(min=1), default=12, show_default=True, help="Rooms trained on.")
@click.option("--held-out", type=click.IntRange(min=1), default=6, show_default=True, help="Rooms measured.")
@click.option("--frames", type=click.IntRange(min=2), default=40, show_default=True, help="Frames a room.")
@click.option("--image-size", default="72x96", show_default=True, help="Size of stored images, HxW.")
@click.option("--voxel-m", type=float, default=0.16, show_default=True, help="Edge of voxels, metres.")
@click.option("--steps", type=click.IntRange(min=1), default=120, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=4, show_default=True)
@click.option("--lr", type=float, default=0.1, show_default=True)
@click.option("--pairs", type=click.IntRange(min=1), default=100, show_default=True, help="Pairs probed.")
@click.option("--options", default="", help="More for every pretrain.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures here."
)
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def main(
    output: Path,
    seeds: int,
    variants: str,
    options: str,
    json_file: Path | None,
    markdown: bool,
    **given: Any,
) -> None:
    """Train every variant with every seed, probe it on held-out rooms, print the table."""
    names = [name.strip() for name in variants.split(",")]
    if unknown := [name for name in names if name not in VARIANTS]:
        raise click.UsageError(f"There is no variant {unknown[0]}: {', '.join(VARIANTS)}.")
    settings = Settings(**given, options=tuple(options.split()))
    shards = prepare(output, settings)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    # Seed by seed, so that a table of what is there so far compares like with like.
    for seed in range(seeds):
        for name in names:
            run = figures_of(output, shards, settings, name, seed)
            found[name].append(run)
            print(
                f"{name} seed {seed}: mean IoU {run['linear_miou']:.3f}, margin {run['margin']:.3f}, "
                f"{run['seconds']:.2f} s a step",
                file=sys.stderr,
            )
    report_on(found, settings, seeds).publish(json_file, markdown)


if __name__ == "__main__":
    main()
