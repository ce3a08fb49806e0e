"""Tensors from a file into a network: all of them, or an error that names the ones that do not fit.

A loader that quietly skips what does not match trains from scratch without a word; none of ours does.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from typing import Any

import fsspec
import torch
from torch import Tensor, nn

from pri3d_data.errors import DataError, StorageError


def read_tensors(file: str) -> dict[str, Any]:
    """The dictionary a torch file holds, on the CPU, read without running anything that is in the file.

    Args:
        file: path or fsspec URL.

    Raises:
        StorageError: the file cannot be read.
        DataError: it is damaged, holds objects besides tensors and plain values, or is no dictionary.
    """
    try:
        with fsspec.open(file, "rb") as stream:
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error}. Check the path and its rights.") from error
    except pickle.UnpicklingError as error:
        raise DataError(
            "this file holds more than tensors and plain values (running it is a risk) or is no torch file.",
            file=file,
            remedy="Save its state dict alone with torch.save, or download it again.",
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise DataError(
            f"this is not a whole torch file ({_first_line(error)}).",
            file=file,
            remedy="Copy or download it again.",
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            f"a dictionary of tensors was expected, not a {type(content).__name__}.",
            file=file,
            remedy="Save the network's state_dict().",
        )
    return content


def fill(
    module: nn.Module,
    tensors: Mapping[str, Any],
    *,
    file: str,
    may_lack: Collection[str] = (),
    remedy: str = "Is it for another --backbone?",
) -> str:
    """Copy ``tensors`` into ``module`` and say how many matched.

    Args:
        module: the network; every one of its tensors has to be given.
        tensors: name to tensor; every one of them has to have a place of the same shape.
        file: where they come from, for the messages.
        may_lack: endings of names that older files do not have, such as ``num_batches_tracked``.
        remedy: what to tell the user when they do not fit.

    Returns:
        A sentence such as "122 of 122 tensors loaded from FILE".

    Raises:
        DataError: none match, some are missing or too many, or a shape differs.
    """
    own = module.state_dict()
    given = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    common = own.keys() & given.keys()
    if not common:
        example = next(iter(given), "nothing")
        raise DataError(
            f"none of its {len(given)} tensors is one of the network's {len(own)} (it has {example}, the "
            f"network {next(iter(own))}).",
            file=file,
            remedy=remedy,
        )
    wrong = [
        f"{name} is {_shape(given[name])} and should be {_shape(own[name])}"
        for name in own
        if name in common and given[name].shape != own[name].shape
    ]
    wrong += [
        f"{name} is missing" for name in own if name not in given and not name.endswith(tuple(may_lack))
    ]
    wrong += [f"{name} has no place" for name in tensors if name not in own]
    if wrong:
        shown = "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        raise DataError(
            f"{len(common)} of the network's {len(own)} tensors are there, but {shown}.",
            file=file,
            remedy=remedy,
        )
    module.load_state_dict(given, strict=not may_lack)
    return f"{len(common)} of {len(own)} tensors loaded from {file}"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0][:120] or type(error).__name__
