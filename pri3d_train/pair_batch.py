"""Pairs of the stream to the tensors of one step, checked before a GPU sees them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pri3d_data.errors import DataError, UsageError
from pri3d_train.geometry_batch import GeometryBatch, stack_chunks
from pri3d_train.pair_like import PairLike


@dataclass(frozen=True)
class PairBatch:
    """Tensors of B pairs.

    ``image_a`` and ``image_b`` (B, H, W, 3) uint8 RGB; ``matches`` (B, M, 4) int64 xa ya xb yb; ``valid``
    (B, M) bool, False where ``matches`` is padding. ``geometry`` is there when voxels are trained on, and
    ``depth`` (2B, H, W) float32 metres, first frames first, 0 unmeasured, when depth is.
    """

    image_a: Tensor
    image_b: Tensor
    matches: Tensor
    valid: Tensor
    geometry: GeometryBatch | None = None
    depth: Tensor | None = None

    def to(self, device: torch.device) -> PairBatch:
        """The batch on ``device``, copied without holding up the host where that is possible."""

        def move(part: Tensor) -> Tensor:
            return (part.pin_memory() if device.type == "cuda" else part).to(device, non_blocking=True)

        geometry = self.geometry and replace(
            self.geometry, **{name: move(part) for name, part in self.geometry.tensors().items()}
        )
        return PairBatch(
            move(self.image_a),
            move(self.image_b),
            move(self.matches),
            move(self.valid),
            geometry,
            None if self.depth is None else move(self.depth),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Everything in it by name, for a file that whoever looks into a failure can open."""
        own = {name: getattr(self, name) for name in ("image_a", "image_b", "matches", "valid")}
        own |= {} if self.depth is None else {"depth": self.depth}
        of_geometry = self.geometry.tensors() if self.geometry is not None else {}
        return own | {f"geometry_{name}": value for name, value in of_geometry.items()}


def stack_pairs(pairs: Sequence[PairLike], rows: int, terms: Collection[str] = ("view",)) -> PairBatch:
    """One batch of ``pairs``, each with its matches padded to ``rows``.

    Args:
        pairs: of one image size.
        rows: most matches a pair, and most a frame's chunk, may have.
        terms: the losses it is for; ``geo`` brings geometry and ``depth`` depth.

    Raises:
        UsageError: the images are not all of one size, or depth is wanted and not there.
        DataError: a match lies outside its image, or there are more than ``rows`` of them.
    """
    matches = np.zeros((len(pairs), rows, 4), np.int64)
    valid = np.zeros((len(pairs), rows), np.bool_)
    shape = pairs[0].image_a.shape
    for index, pair in enumerate(pairs):
        for image in (pair.image_a, pair.image_b):
            if image.shape != shape:
                raise UsageError(
                    f"Images of {shape[0]}x{shape[1]} (scene {pairs[0].scene}) and {image.shape[0]}x"
                    f"{image.shape[1]} (scene {pair.scene}) cannot share a batch. Build the data with one "
                    "--image-size, or train on the datasets apart."
                )
        count = len(pair.matches)
        limit = np.array([shape[1], shape[0], shape[1], shape[0]])
        if count > rows or bool(((pair.matches < 0) | (pair.matches >= limit)).any()):
            raise DataError(
                f"the pair of frames {pair.frame_a} and {pair.frame_b} has {count} matches (at most {rows} "
                f"were asked for), or one of them outside its {shape[0]}x{shape[1]} image.",
                file=f"scene {pair.scene}",
                remedy="Run pri3d-data verify on the dataset.",
            )
        matches[index, :count] = pair.matches
        valid[index, :count] = True
    return PairBatch(
        torch.from_numpy(np.stack([pair.image_a for pair in pairs])),
        torch.from_numpy(np.stack([pair.image_b for pair in pairs])),
        torch.from_numpy(matches),
        torch.from_numpy(valid),
        stack_chunks(pairs, rows) if "geo" in terms else None,
        _stack_depth(pairs) if "depth" in terms else None,
    )


def _stack_depth(pairs: Sequence[PairLike]) -> Tensor:
    found = [getattr(pair, side, None) for side in ("depth_a", "depth_b") for pair in pairs]
    measured = [depth for depth in found if depth is not None]
    if len(measured) < len(found):
        raise UsageError(
            "The depth loss compares with measured depth, which this stream's pairs do not carry: give "
            "--depth-loss 0."
        )
    return torch.from_numpy(np.stack(measured).astype(np.float32))
