"""The commands' names, options and defaults are what people script against: adding one changes a line here."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from pipelines.cli import group as data
from pri3d_train.cli import main as train

FROZEN = Path(__file__).with_name("options.txt")


def described(command: click.Command, name: str, context: click.Context | None = None) -> list[str]:
    """A line for every parameter of a command and of the commands below it."""
    here = click.Context(command, info_name=name, parent=context)
    if isinstance(command, click.Group):
        found = [(part, command.get_command(here, part)) for part in command.list_commands(here)]
        return [line for part, inner in found if inner for line in described(inner, f"{name} {part}", here)]
    lines = []
    for parameter in command.params:
        names = "/".join([*parameter.opts, *parameter.secondary_opts])
        many = " ..." if parameter.multiple or parameter.nargs != 1 else ""
        lines.append(f"{name} {names}{many}")
    return lines


@pytest.mark.parametrize("name", ["pri3d-data", "pri3d-train"])
def test_options_are_those_people_script_against(name: str) -> None:
    command = data if name == "pri3d-data" else train
    frozen = [line for line in FROZEN.read_text().splitlines() if line.startswith(name)]
    now = sorted(described(command, name))
    gone = sorted(set(frozen) - set(now))
    new = sorted(set(now) - set(frozen))
    assert not gone, f"options that scripts may use are gone: {gone}"
    assert not new, f"add to tests/options.txt: {new}"
