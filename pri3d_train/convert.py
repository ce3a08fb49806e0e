"""An encoder's weights from one project's file layout to another's: Pri3D, torchvision, MoCo v2, detectron2.

Names between these are in bijection, so what is converted is the encoder, whole or not at all.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
from torch import Tensor

from pri3d_data.errors import DataError, StorageError, UsageError
from pri3d_train.config import BackboneName
from pri3d_train.initialise import averaged, newest_file, part
from pri3d_train.resnet import ResNetEncoder
from pri3d_train.weights import fill, read_tensors

Layout = Literal["torchvision", "detectron2", "pri3d"]

#: Where an encoder lies in each kind of file: the key of its dictionary ("" for the file itself) and the
#: prefix of its names. MoCo's is the query encoder, as torch's DistributedDataParallel names it.
_PLACES = (
    ("a Pri3D checkpoint", "model", "backbone.encoder."),
    ("a MoCo checkpoint", "state_dict", "module.encoder_q."),
    ("a torchvision file", "", ""),
)
_DETECTRON2 = (
    (re.compile(r"^(?!.*layer)"), "stem."),
    (re.compile(r"layer(\d)"), lambda found: f"res{int(found[1]) + 1}"),
    (re.compile(r"downsample\.0"), "shortcut"),
    (re.compile(r"downsample\.1"), "shortcut.norm"),
    (re.compile(r"bn(\d)"), r"conv\1.norm"),
)


def convert(source: str, target: Path, to: Layout, *, ema: bool = False) -> str:
    """Write the encoder in ``source`` to ``target`` in another layout.

    - ``torchvision``: flat names conv1, bn1, layer1 ..., without a classifier.
    - ``detectron2``: a pickle {model, __author__, matching_heuristics} with NumPy arrays and detectron2's
      names. Its configuration has to say RGB, ImageNet's mean and deviation, and STRIDE_IN_1X1 False.
    - ``pri3d``: {"model": {"backbone.encoder....": ...}}, which ``--init`` reads.

    Args:
        source: a run folder, a Pri3D checkpoint, a MoCo v2 checkpoint or a torchvision ResNet-18 or 50; URLs
            too. Which one it is, its keys tell.
        target: local file, replaced if it exists.
        to: the layout.
        ema: take the averaged weights of a Pri3D run.

    Returns:
        A sentence that says how many tensors matched.

    Raises:
        UsageError: there is no such layout, averaged weights are not there, or the file would replace itself.
        DataError: the source is none of these, or its encoder is not whole.
        StorageError: a file cannot be read or written.
    """
    if to not in ("torchvision", "detectron2", "pri3d"):
        raise UsageError(f"No layout is called {to!r}: use torchvision, detectron2 or pri3d.")
    file = newest_file(source)
    if target.exists() and Path(file).exists() and target.samefile(file):
        raise UsageError(f"{target} would replace what it is made from: give another TARGET.")
    tensors, said = read_encoder(file, ema=ema)
    if to == "torchvision":
        _write(target, lambda stream: torch.save(tensors, stream))
    elif to == "pri3d":
        model = {f"backbone.encoder.{name}": value for name, value in tensors.items()}
        _write(target, lambda stream: torch.save({"model": model}, stream))
    else:
        content = {
            "model": {detectron2_name(name): value.numpy() for name, value in tensors.items()},
            "__author__": "torchvision",
            "matching_heuristics": True,
        }
        _write(target, lambda stream: pickle.dump(content, stream))
    return f"{said}; written to {target} for {to}"


def detectron2_name(name: str) -> str:
    """detectron2's name of a torchvision ResNet tensor: layer1.0.bn2.bias -> res2.0.conv2.norm.bias."""
    for pattern, new in _DETECTRON2:
        name = pattern.sub(new, name, count=1)
    return name


def read_encoder(file: str, *, ema: bool = False) -> tuple[dict[str, Tensor], str]:
    """An encoder's tensors under torchvision's names, checked against the network they are for.

    Args:
        file: path or URL of any kind of file that `convert` takes.
        ema: take the averaged weights, which only Pri3D runs have.

    Returns:
        The tensors on the CPU, and a sentence that says how many matched and what they are.

    Raises:
        UsageError, DataError, StorageError: as `convert`.
    """
    content = read_tensors(file)
    if ema:
        content = {"model": averaged(content, file)}
    for kind, key, prefix in _PLACES:
        inside = content.get(key) if key else content
        tensors = part(inside, prefix) if isinstance(inside, Mapping) else {}
        if "conv1.weight" not in tensors:
            continue
        tensors = {name: value for name, value in tensors.items() if not name.startswith("fc.")}
        backbone: BackboneName = "resnet50" if "layer1.0.conv3.weight" in tensors else "resnet18"
        encoder = ResNetEncoder(backbone)
        said = fill(
            encoder,
            tensors,
            file=file,
            may_lack=("num_batches_tracked",),
            remedy="Only whole ResNet-18 and ResNet-50 encoders can be converted.",
        )
        return {name: tensors[name] for name in encoder.state_dict() if name in tensors}, (
            f"{backbone} of {kind}: {said}"
        )
    example = ", ".join(list(content)[:3]) or "nothing"
    raise DataError(
        f"none of its tensors is one of a ResNet encoder (it has {example}).",
        file=file,
        remedy="Give a Pri3D run or checkpoint, a MoCo v2 checkpoint or a torchvision ResNet file.",
    )


def _write(target: Path, save: Callable[[BinaryIO], Any]) -> None:
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            save(stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
    # torch's writer reports a full disk as a RuntimeError of its own.
    except (OSError, RuntimeError) as error:
        raise StorageError(
            f"{target} could not be written: {str(error).splitlines()[0]}. Free some space or give another "
            "TARGET."
        ) from error
