"""A data set's parameters as command-line options, made from the fields that say they are one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, replace
from typing import Any, get_type_hints

import click

from pipelines.dataset import DataSet
from pipelines.parameters import SceneParameters


def named_option(*names: str, **settings: Any) -> Any:
    """A click option that the environment may set as well."""
    variable = f"PRI3D_DATA_{names[0].lstrip('-').split('/')[0].replace('-', '_').upper()}"
    settings = {"show_default": True} | settings
    return click.option(*names, envvar=variable, show_envvar=False, **settings)


def parameter_options(dataset: DataSet) -> list[Any]:
    """An option for each of the fields of the data set's parameters that are one; not given, it is None."""
    kind = type(next(iter(dataset.presets.values())))
    hints = get_type_hints(kind)
    return [_option(field, hints[field.name], dataset) for field in fields(kind) if "help" in field.metadata]


def chosen(preset: SceneParameters, given: Mapping[str, Any]) -> SceneParameters:
    """The preset with what the user gave in place of its own values.

    Raises:
        UsageError: a value cannot work.
    """
    parsers = {field.name: field.metadata.get("parse") for field in fields(preset)}
    said = {name: value for name, value in given.items() if value is not None}
    return replace(
        preset, **{name: parse(value) if (parse := parsers[name]) else value for name, value in said.items()}
    )


def _option(field: Field[Any], hint: Any, dataset: DataSet) -> Any:
    name = field.name.replace("_", "-")
    assert field.default is not MISSING
    shown = {preset: _shown(getattr(values, field.name), field) for preset, values in dataset.presets.items()}
    same = len(set(shown.values())) == 1
    default = next(iter(shown.values())) if same else ", ".join(f"{p}: {v}" for p, v in shown.items())
    text = field.metadata["help"] + (f" [default: {default}]" if default else "")
    settings: dict[str, Any] = {"help": text, "default": None, "show_default": False}
    if hint is bool:
        return named_option(f"--{name}/--no-{name}", **settings)
    kind = str if field.metadata["parse"] else hint
    return named_option(f"--{name}", type=kind, metavar=field.metadata["metavar"], **settings)


def _shown(value: Any, field: Field[Any]) -> str:
    if value is None:
        return str(field.metadata["none"])
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value)
