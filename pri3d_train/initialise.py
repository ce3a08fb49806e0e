"""Where a network's first weights come from: a torchvision ResNet file, or a Pri3D checkpoint of any run.

Both are recognised by their keys. The authors' published checkpoints are {"model": {...}} with the keys of
`pri3d_train.view_model.ViewModel`, beside heads that only their other losses used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pri3d_data.errors import DataError
from pri3d_train.checkpoint import latest
from pri3d_train.config import BackboneName
from pri3d_train.view_model import ViewModel
from pri3d_train.weights import fill, read_tensors

#: Parts of published checkpoints that view-only training has no use for: the 3D network, the projections of
#: the geometric loss, and the depth-regression head with its fixed Sobel filter.
_OTHER_HEADS = ("backbone3d.", "w2d.", "w3d.", "headnet.", "headloss.")


def initialise(model: ViewModel, file: str) -> str:
    """Start ``model`` from ``file`` instead of from random numbers.

    A torchvision file (flat keys conv1, bn1, layer1 ..., ``fc.*`` ignored) fills the encoder and leaves the
    decoder random; a Pri3D checkpoint fills encoder and decoder. Every other tensor has to match.

    Returns:
        A sentence that says how many tensors matched.

    Raises:
        DataError: the file is neither, or is for another backbone.
        StorageError: it cannot be read.
    """
    content = read_tensors(file)
    if isinstance(content.get("model"), Mapping):
        return fill(model, pri3d_tensors(content), file=file)
    encoder = {name: value for name, value in content.items() if not name.startswith("fc.")}
    said = fill(
        model.backbone.encoder,
        encoder,
        file=file,
        # torchvision's first files are older than this counter, which nothing here reads.
        may_lack=("num_batches_tracked",),
        remedy="Expected a torchvision ResNet for the same --backbone (keys conv1.weight, layer1.0...), or a "
        'Pri3D checkpoint ({"model": {"backbone.encoder.conv1.weight": ...}}).',
    )
    return said + " into the encoder; the decoder starts from random numbers"


def pri3d_tensors(content: Mapping[str, Any]) -> dict[str, Any]:
    """The 2D network's tensors of a Pri3D checkpoint's content, without the heads of other losses."""
    return {name: value for name, value in content["model"].items() if not name.startswith(_OTHER_HEADS)}


def load_network(run_or_file: str) -> tuple[ViewModel, str]:
    """The network of a run folder (its newest checkpoint) or of one checkpoint file, ours or the authors'.

    The backbone is told by the keys, so nothing needs to be said about it.

    Returns:
        The model on the CPU in evaluation mode, and a sentence that says how many tensors matched.

    Raises:
        DataError: there is no checkpoint, or it is not one of a view model.
        StorageError: it cannot be read.
    """
    file = run_or_file
    if Path(run_or_file).is_dir():
        newest = latest(Path(run_or_file))
        if newest is None:
            raise DataError(
                "this run folder has no whole checkpoint.",
                file=run_or_file,
                remedy="Let it train on for a while.",
            )
        file = str(newest)
    content = read_tensors(file)
    if not isinstance(content.get("model"), Mapping):
        raise DataError(
            'this is no Pri3D checkpoint: it has no "model".',
            file=file,
            remedy="Give a run folder, a checkpoint in it, or one of the authors' checkpoints.",
        )
    tensors = pri3d_tensors(content)
    deep = "backbone.encoder.layer1.0.conv3.weight" in tensors
    backbone: BackboneName = "resnet50" if deep else "resnet18"
    model = ViewModel(backbone)
    said = fill(
        model, tensors, file=file, remedy="Only ResNet-18 and ResNet-50 networks of Pri3D can be read."
    )
    return model.eval(), f"{backbone}: {said}"
