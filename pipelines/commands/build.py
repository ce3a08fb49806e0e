"""`pri3d-data build DATASET`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click
import yaml
from rich.console import Console

from pipelines.commands.parameter_options import chosen, named_option, parameter_options
from pipelines.parameters import BuildParameters
from pipelines.plan import BuildRequest
from pipelines.registry import DATASETS
from pri3d_data.errors import UsageError

_HELP = """Build {name} shards: {summary}.

\b
Examples:
  pri3d-data build {name} --input RAW --output OUT --workers 16
  pri3d-data build {name} --input RAW --output OUT --scenes train.txt --image-size native
  pri3d-data build {name} --config build.yaml --scheduler tcp://host:8786

Every option can also be set as PRI3D_DATA_<OPTION> in the environment or as `option: value` in the YAML file;
the command line wins over the environment, which wins over the file. Interrupt it at any time: the same
command goes on where it stopped.
"""


def _load_config(ctx: click.Context, _: click.Parameter, path: str | None) -> None:
    if path is None:
        return
    try:
        values = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"--config '{path}' cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"--config '{path}' is not a list of `option: value` lines.")
    known = {parameter.opts[0].lstrip("-"): str(parameter.name) for parameter in ctx.command.params}
    named = {str(key).replace("_", "-"): value for key, value in values.items()}
    if unknown := sorted(set(named) - set(known)):
        raise UsageError(
            f"--config '{path}' sets {', '.join(unknown)}, which this command does not have. "
            f"It has: {', '.join(sorted(known))}."
        )
    ctx.default_map = {known[name]: value for name, value in named.items()}


_OPTIONS = [
    click.option(
        "--config",
        is_eager=True,
        expose_value=False,
        callback=_load_config,
        envvar="PRI3D_DATA_CONFIG",
        metavar="FILE.yaml",
        help="Read options from a YAML file.",
    ),
    named_option(
        "--input", "input_root", required=True, metavar="RAW", help="Folder or URL of the raw captures."
    ),
    named_option(
        "--output", "output_root", required=True, metavar="OUT", help="Folder or URL to build into."
    ),
    named_option(
        "--workers",
        "-w",
        type=click.IntRange(min=0),
        default=None,
        metavar="N",
        help="Worker processes on this machine; 0 runs in this process. [default: number of CPUs]",
    ),
    named_option(
        "--scheduler", metavar="ADDRESS", help="Use a running Dask cluster instead, such as tcp://host:8786."
    ),
    named_option(
        "--scenes", metavar="LIST|GLOB|FILE", help="Scenes to build: names, globs, or a file of names."
    ),
    named_option("--shard-mb", type=int, default=256, help="Target size of a shard in MB."),
    named_option(
        "--resume/--no-resume", default=True, help="Go on from what is there, or build everything anew."
    ),
    named_option(
        "--drop-scenes", is_flag=True, help="Allow removing scenes the output holds and this command omits."
    ),
]


@click.group()
def command() -> None:
    """Turn raw captures into shards, tables and a description."""


def _add(name: str) -> None:
    dataset = DATASETS[name]

    def run(
        input_root: str,
        output_root: str,
        workers: int | None,
        scheduler: str | None,
        preset: str,
        scenes: str | None,
        shard_mb: int,
        resume: bool,
        drop_scenes: bool,
        **of_dataset: Any,
    ) -> None:
        if workers is not None and scheduler:
            raise UsageError(
                "--workers starts workers here, --scheduler uses those of a cluster. Give one of them."
            )
        parameters = BuildParameters(chosen(dataset.presets[preset], of_dataset), shard_mb)
        request = BuildRequest(dataset, input_root, output_root, parameters, scenes, resume, drop_scenes)
        sys.exit(run_build(request, os.cpu_count() or 1 if workers is None else workers, scheduler))

    names = list(dataset.presets)
    preset = named_option(
        "--preset", type=click.Choice(names), default=names[0], help="Set of choices to start from."
    )
    for option in reversed([*_OPTIONS, preset, *parameter_options(dataset)]):
        run = option(run)
    text = _HELP.format(name=name, summary=dataset.summary)
    command.add_command(click.command(name, help=text, short_help=dataset.summary)(run))


def run_build(request: BuildRequest, workers: int, scheduler: str | None = None) -> int:
    """Build with a display on standard error; the exit status."""
    # Dask takes a second to import, which only those who build should wait for.
    from pipelines.build import build
    from pipelines.progress import BuildProgress, print_summary

    console = Console(stderr=True)
    # A cluster's "please stop" is treated like Ctrl-C: wind down, keep what is finished.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with BuildProgress(console) as progress:
            summary = build(request, workers, scheduler, progress)
    except KeyboardInterrupt:
        console.print(
            "Stopped. Finished scenes are kept; run the same command again to go on from here.",
            style="yellow",
        )
        return 3
    print_summary(console, request.output, summary)
    return summary.exit_status


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


for _name in DATASETS:
    _add(_name)
