"""Checkpoints: whole or not there, found again by step number, and everything a run needs to go on exactly.

`RUN/checkpoints/step-000030.pt` is a torch file of tensors and plain values, so that reading it runs no code.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from pri3d_data.atomic_file import replacing
from pri3d_data.errors import DataError, StorageError, UsageError
from pri3d_train.averaged import AveragedWeights
from pri3d_train.config import LossConfig, PretrainConfig
from pri3d_train.weights import fill, read_tensors

_NAME = re.compile(r"step-(\d{6,})\.pt")
_FAMILY = "pri3d-pretrain-"
_KIND = _FAMILY + "1"


@dataclass(frozen=True)
class Progress:
    """What a resumed run starts from: the finished steps and the stream's state."""

    step: int
    stream: dict[str, Any]


def save(
    run: Path,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    stream: Mapping[str, Any],
    config: PretrainConfig,
    average: AveragedWeights | None = None,
) -> Path:
    """Write the state after ``step`` steps, then delete all but the newest ``config.checkpoint.keep``.

    Under its final name the file is complete or absent, even if the machine loses power.

    Raises:
        StorageError: the disk is full or refuses.
    """
    folder = run / "checkpoints"
    target = folder / f"step-{step:06d}.pt"
    content = {
        "kind": _KIND,
        "step": step,
        "model": model.state_dict(),
        "ema": None if average is None else average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "stream": dict(stream),
        "random": _random_state(),
        "config": config.as_dict(),
    }
    try:
        with replacing(target) as file:
            torch.save(content, file)
        for old in saved(run)[: -config.checkpoint.keep]:
            old.unlink()
        for stale in folder.glob(".step-*.partial"):
            stale.unlink()
    # torch's writer reports a full disk as a RuntimeError of its own.
    except (OSError, RuntimeError) as error:
        raise StorageError(
            f"Checkpoint {target} could not be written: {str(error).splitlines()[0]}. Free some space and "
            "run the command again; it goes on from the checkpoint before."
        ) from error
    return target


def saved(run: Path) -> list[Path]:
    """Checkpoints of ``run`` under their final names, oldest step first."""
    found = (run / "checkpoints").glob("step-*.pt")
    return sorted((path for path in found if _NAME.fullmatch(path.name)), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint's name."""
    match = _NAME.fullmatch(checkpoint.name)
    return int(match[1]) if match else -1


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of ``run``, or None.

    Files cut short by a copy from elsewhere lack the zip directory at their end and are passed over.
    """
    return next((path for path in reversed(saved(run)) if zipfile.is_zipfile(path)), None)


def choose(run: Path, resume: str) -> Path | None:
    """The checkpoint to start from, None for a fresh start.

    Args:
        run: the folder this run writes to.
        resume: ``auto`` (the newest of ``run``, if any), ``never``, or a checkpoint file or run folder.

    Raises:
        UsageError: ``run`` holds checkpoints that this start would be mixed up with, or there is nothing at
            ``resume``.
    """
    if resume == "auto":
        return latest(run)
    there = saved(run)
    if resume == "never":
        if there:
            raise UsageError(
                f"{run} holds {there[-1].name} of an earlier run, and a fresh start there would mix the two: "
                "give another --output, or --resume auto to go on."
            )
        return None
    path = Path(resume)
    start = latest(path) if path.is_dir() else path if path.is_file() else None
    if start is None:
        raise UsageError(
            f"--resume {resume}: there is no whole checkpoint. Give a file, a run folder, auto or never."
        )
    newer = [other for other in there if step_of(other) > step_of(start) >= 0]
    if newer:
        raise UsageError(
            f"{run} holds {newer[-1].name}, which is later than {start.name} and would be taken for this "
            "run's own: move it away, or give another --output."
        )
    return start


def restore(
    file: Path,
    model: nn.Module,
    optimizer: Optimizer,
    config: PretrainConfig,
    average: AveragedWeights | None = None,
) -> tuple[Progress, str]:
    """Put model, optimiser, average and random generators back to where ``file`` left them.

    An average that the run so far did not keep starts from the restored weights.

    Returns:
        The progress, and a sentence that says how many tensors matched.

    Raises:
        UsageError: the checkpoint is of another backbone or other losses.
        DataError: it is damaged, of a newer version, or no checkpoint of a pre-training run.
    """
    content = read_tensors(str(file))
    kind = str(content.get("kind"))
    if kind != _KIND:
        newer = kind.startswith(_FAMILY)
        raise DataError(
            f"this checkpoint is of format {kind}, which this version does not know."
            if newer
            else "this is not a checkpoint of `pri3d-train pretrain`.",
            file=str(file),
            remedy="Resume it with the version that wrote it."
            if newer
            else "To start a new run from its weights, give it as --init.",
        )
    before = content["config"]
    if before["backbone"] != config.backbone:
        raise UsageError(
            f"{file} is of a {before['backbone']}, not a {config.backbone}: give --backbone "
            f"{before['backbone']} to resume it."
        )
    # The first version's runs had the view loss alone and did not say so.
    terms = LossConfig(**before["losses"]).terms if "losses" in before else ("view",)
    if terms != config.losses.terms:
        raise UsageError(
            f"{file} was trained on the losses {'+'.join(terms)}, this run asks for "
            f"{'+'.join(config.losses.terms)}, whose networks differ: resume with the same ones, or start "
            "anew elsewhere with it as --init."
        )
    said = fill(model, content["model"], file=str(file))
    try:
        optimizer.load_state_dict(content["optimizer"])
    except (ValueError, KeyError) as error:
        raise DataError(f"its optimiser state does not fit ({error}).", file=str(file)) from error
    if average is not None:
        average.load_state_dict(content.get("ema") or model.state_dict())
    _restore_random_state(content["random"])
    return Progress(int(content["step"]), dict(content["stream"])), said


def _random_state() -> dict[str, Any]:
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": [
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ],
    }


def _restore_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
