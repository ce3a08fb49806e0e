"""What a stage is, and what becomes of one that is run.

A stage is a plain function of a scene, the build's parameters and the results of the stages it needs. It
knows no Dask and no other scene; whatever goes wrong in it costs its scene alone.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pri3d_data.capture import Failure
from pri3d_data.errors import DataError, Pri3DError


@dataclass(frozen=True)
class Stage:
    """One step of a scene's way from raw bytes to its bundle.

    Attributes:
        name: as shown in progress, failures and timings.
        run: ``run(scene, parameters, *results of needs)``, a module-level function or a partial of one.
        needs: names of earlier stages whose results it takes.
        version: goes up when the stage's output changes for the same input, so that old results are rebuilt.
        keeps_parts: ``run`` also takes ``scratch``, a `pipelines.scratch.Scratch`, to go on where an
            interruption left it within the scene.
    """

    name: str
    run: Callable[..., Any]
    needs: tuple[str, ...] = ()
    version: int = 1
    keeps_parts: bool = False


@dataclass(frozen=True)
class Done:
    """A stage's result and the seconds it and the stages before it took."""

    value: Any
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """Why a scene stopped, and the seconds spent on it."""

    failure: Failure
    seconds: dict[str, float] = field(default_factory=dict)


def attempt(
    name: str, run: Callable[..., Any], scene: str, arguments: tuple[Any, ...], *inputs: Done | Failed
) -> Done | Failed:
    """Run a stage, turning what goes wrong into a `Failed`; a failed input is passed on untouched.

    Raises:
        Pri3DError: errors that concern more than this scene, such as a full disk.
    """
    seconds: dict[str, float] = {}
    for result in inputs:
        seconds |= result.seconds
    for result in inputs:
        if isinstance(result, Failed):
            return Failed(result.failure, seconds)
    start = time.perf_counter()
    try:
        value = run(*arguments, *(result.value for result in inputs if isinstance(result, Done)))
    except DataError as error:
        frame = -1 if error.frame is None else error.frame
        failure = Failure.of(scene, frame, name, error)
    except Pri3DError:
        raise
    except Exception as error:
        failure = Failure(scene, -1, name, "", -1, _internal(error))
    else:
        return Done(value, seconds | {name: time.perf_counter() - start})
    return Failed(failure, seconds | {name: time.perf_counter() - start})


def _internal(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    name = place.filename.replace("\\", "/").rsplit("/", 1)[-1]
    return f"internal error, please report it: {type(error).__name__}: {error} ({name}, line {place.lineno})"
