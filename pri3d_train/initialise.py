"""Where a network's first weights come from: a torchvision ResNet file, or a Pri3D checkpoint of any run.

Both are recognised by their keys. The authors' published checkpoints are {"model": {...}} with the keys of
`pri3d_train.pair_model.PairModel`; each of its parts is filled whole or, where the file has none of it, left
as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pri3d_data.errors import DataError, UsageError
from pri3d_train.checkpoint import latest
from pri3d_train.config import BackboneName
from pri3d_train.pair_model import PairModel
from pri3d_train.weights import fill, read_tensors


def initialise(model: PairModel, file: str) -> str:
    """Start ``model`` from ``file`` instead of from random numbers.

    A torchvision file (flat keys conv1, bn1, layer1 ..., ``fc.*`` ignored) fills the encoder and leaves the
    rest random. A Pri3D checkpoint fills the image network, or its encoder if it has no more, and the 3D
    network and projections if it has them and ``model`` too. Inside a part every tensor has to match.

    Returns:
        A sentence that says how many tensors matched.

    Raises:
        DataError: the file is neither, or is for another backbone.
        StorageError: it cannot be read.
    """
    content = read_tensors(file)
    if isinstance(content.get("model"), Mapping):
        tensors = content["model"]
        if part(tensors, "backbone.encoder.") and not part(tensors, "backbone.decoder."):
            return _fill_encoder(model, part(tensors, "backbone.encoder."), file)
        said = fill(model.backbone, part(tensors, "backbone.") or tensors, file=file)
        for name, network in model.named_children():
            if name != "backbone" and part(tensors, name + "."):
                said += "; " + fill(network, part(tensors, name + "."), file=f"{name} of {file}")
        return said
    return _fill_encoder(model, content, file)


def _fill_encoder(model: PairModel, tensors: Mapping[str, Any], file: str) -> str:
    said = fill(
        model.backbone.encoder,
        {name: value for name, value in tensors.items() if not name.startswith("fc.")},
        file=file,
        # torchvision's first files are older than this counter, which nothing here reads.
        may_lack=("num_batches_tracked",),
        remedy="Expected a torchvision ResNet for the same --backbone (keys conv1.weight, layer1.0...), or a "
        'Pri3D checkpoint ({"model": {"backbone.encoder.conv1.weight": ...}}).',
    )
    return said + " into the encoder; the decoder starts from random numbers"


def part(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def newest_file(run_or_file: str) -> str:
    """A run folder's newest checkpoint; anything else as it is.

    Raises:
        DataError: the folder has no checkpoint.
    """
    if not Path(run_or_file).is_dir():
        return run_or_file
    newest = latest(Path(run_or_file))
    if newest is None:
        raise DataError(
            "this run folder has no whole checkpoint.",
            file=run_or_file,
            remedy="Let it train on for a while.",
        )
    return str(newest)


def averaged(content: Mapping[str, Any], file: str) -> Mapping[str, Any]:
    """The averaged weights of a checkpoint's content.

    Raises:
        UsageError: its run kept none.
    """
    if not isinstance(content.get("ema"), Mapping):
        raise UsageError(f"{file} has no averaged weights, since its run had no --ema: leave out --ema.")
    average: Mapping[str, Any] = content["ema"]
    return average


def load_network(run_or_file: str, *, ema: bool = False) -> tuple[PairModel, str]:
    """The image network of a run folder (its newest checkpoint) or a checkpoint file, ours or the authors'.

    The backbone is told by the keys, so nothing needs to be said about it.

    Args:
        run_or_file: where it is.
        ema: take the averaged weights instead of the last step's.

    Returns:
        The model on the CPU in evaluation mode, and a sentence that says how many tensors matched.

    Raises:
        UsageError: averaged weights are asked for and not there.
        DataError: there is no checkpoint, or it is not one of a Pri3D network.
        StorageError: it cannot be read.
    """
    file = newest_file(run_or_file)
    content = read_tensors(file)
    if not isinstance(content.get("model"), Mapping):
        raise DataError(
            'this is no Pri3D checkpoint: it has no "model".',
            file=file,
            remedy="Give a run folder, a checkpoint in it, or one of the authors' checkpoints.",
        )
    tensors = averaged(content, file) if ema else content["model"]
    deep = "backbone.encoder.layer1.0.conv3.weight" in tensors
    backbone: BackboneName = "resnet50" if deep else "resnet18"
    model = PairModel(backbone)
    said = fill(
        model.backbone,
        part(tensors, "backbone.") or tensors,
        file=file,
        remedy="Only ResNet-18 and ResNet-50 networks of Pri3D can be read.",
    )
    return model.eval(), f"{backbone}: {said}"
