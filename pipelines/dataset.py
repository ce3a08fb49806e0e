"""What a data set declares so that the engine, the command and the docs can serve it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipelines.parameters import SceneParameters
from pipelines.stage import Stage
from pri3d_data.capture import Failure
from shards.bundle import Bundle


class Scene(Protocol):
    """A scene found in the input, small enough to be sent to a worker."""

    @property
    def scene(self) -> str:
        """Its name."""
        ...

    @property
    def stamps(self) -> tuple[tuple[str, int, str], ...]:
        """(file, bytes, modification time) of its raw files: what decides whether it must be built again."""
        ...


@dataclass(frozen=True)
class BuiltScene:
    """What a scene's last stage gives; no bundle where none of its frames could be used."""

    bundle: Bundle | None
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class DataSet:
    """One kind of raw data.

    Attributes:
        name: the word after ``pri3d-data build``.
        summary: one line of help: what the input looks like.
        find_scenes: lists the scenes below an input folder or URL, sorted by name; raises `UsageError` with
            what was expected and found where there are none.
        stages: from a `Scene` and the parameters to a `BuiltScene`.
        presets: by name, the first the default. All are of one class; its fields made by
            `pipelines.parameters.option` are the command's options.
    """

    name: str
    summary: str
    find_scenes: Callable[[str], Sequence[Scene]]
    stages: tuple[Stage, ...]
    presets: Mapping[str, SceneParameters]
