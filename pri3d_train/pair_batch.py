"""Pairs of the stream to the tensors of one step, checked before a GPU sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pri3d_data.errors import DataError, UsageError


class PairLike(Protocol):
    """What the trainer reads of `shards.stream.Pair`."""

    @property
    def scene(self) -> str:
        """Name of the capture."""

    @property
    def frame_a(self) -> int:
        """Number of the first frame in its capture."""

    @property
    def frame_b(self) -> int:
        """Number of the second frame."""

    @property
    def image_a(self) -> NDArray[Any]:
        """(H, W, 3) uint8 RGB."""

    @property
    def image_b(self) -> NDArray[Any]:
        """(H, W, 3) uint8 RGB."""

    @property
    def matches(self) -> NDArray[Any]:
        """(M, 4) integer, columns xa ya xb yb in full-resolution pixels."""


@dataclass(frozen=True)
class PairBatch:
    """Tensors of B pairs.

    ``image_a`` and ``image_b`` (B, H, W, 3) uint8 RGB; ``matches`` (B, M, 4) int64 xa ya xb yb; ``valid``
    (B, M) bool, False where ``matches`` is padding.
    """

    image_a: Tensor
    image_b: Tensor
    matches: Tensor
    valid: Tensor

    def to(self, device: torch.device) -> PairBatch:
        """The batch on ``device``, copied without holding up the host where that is possible."""
        parts = (self.image_a, self.image_b, self.matches, self.valid)
        if device.type == "cuda":
            parts = tuple(part.pin_memory() for part in parts)  # type: ignore[assignment]
        return PairBatch(*(part.to(device, non_blocking=True) for part in parts))


def stack_pairs(pairs: Sequence[PairLike], rows: int) -> PairBatch:
    """One batch of ``pairs``, each with its matches padded to ``rows``.

    Raises:
        UsageError: the images are not all of one size.
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
    )
