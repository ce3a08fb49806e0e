"""Chunks of geometry to the tensors of one step: all frames' voxels in one list, matches pointing into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pri3d_data.errors import DataError
from pri3d_train.pair_like import PairLike


class ChunkLike(Protocol):
    """What the trainer reads of a frame's part of its scene's geometry."""

    @property
    def voxels(self) -> NDArray[Any]:
        """(C, 3) int32 grid coordinates."""

    @property
    def colors(self) -> NDArray[Any]:
        """(C, 3) uint8 RGB of the voxels."""

    @property
    def matches(self) -> NDArray[Any]:
        """(K, 3) integer, columns x y (colour pixel) and row of ``voxels``."""


@dataclass(frozen=True)
class GeometryBatch:
    """Geometry of the 2B frames of B pairs: first frames are items 0 to B-1, second frames B to 2B-1.

    ``coordinates`` (N, 4) int32, batch item first, as MinkowskiEngine has them; ``colors`` (N, 3) uint8;
    ``matches`` (2B, M, 3) int64 x, y, row of ``coordinates``; ``valid`` (2B, M) bool, False for padding.
    N = 0 where no frame of the batch has geometry.
    """

    coordinates: Tensor
    colors: Tensor
    matches: Tensor
    valid: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """By field name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def stack_chunks(pairs: Sequence[PairLike], rows: int) -> GeometryBatch:
    """One batch of both frames of ``pairs``, each frame's matches padded to ``rows``.

    A frame without geometry has no voxels and no matches, and takes nothing from the others.

    Raises:
        DataError: a chunk's arrays do not belong together, or it has more than ``rows`` matches.
    """
    frames = [(pair, pair.frame_a, _chunk(pair, "chunk_a"), pair.image_a.shape) for pair in pairs]
    frames += [(pair, pair.frame_b, _chunk(pair, "chunk_b"), pair.image_b.shape) for pair in pairs]
    matches = np.zeros((len(frames), rows, 3), np.int64)
    valid = np.zeros((len(frames), rows), np.bool_)
    coordinates, colors, first = [np.zeros((0, 4), np.int32)], [np.zeros((0, 3), np.uint8)], 0
    for item, (pair, frame, chunk, image) in enumerate(frames):
        if chunk is None:
            continue
        count, found = len(chunk.voxels), np.asarray(chunk.matches)
        limit = np.array([image[1], image[0], count])
        sound = chunk.voxels.shape == (count, 3) == chunk.colors.shape and found.shape == (len(found), 3)
        if not sound or len(found) > rows or bool(((found < 0) | (found >= limit)).any()):
            raise DataError(
                f"the chunk of frame {frame} has {count} voxels and {len(found)} matches (at most {rows} "
                "were asked for) that do not belong together.",
                file=f"scene {pair.scene}",
                remedy="Run pri3d-data verify on the dataset.",
            )
        coordinates.append(np.concatenate([np.full((count, 1), item, np.int32), chunk.voxels], 1))
        colors.append(chunk.colors)
        matches[item, : len(found)] = found + np.array([0, 0, first])
        valid[item, : len(found)] = True
        first += count
    return GeometryBatch(
        torch.from_numpy(np.concatenate(coordinates).astype(np.int32, copy=False)),
        torch.from_numpy(np.concatenate(colors)),
        torch.from_numpy(matches),
        torch.from_numpy(valid),
    )


def _chunk(pair: PairLike, name: str) -> ChunkLike | None:
    # Streams opened without geometry, and older ones, have pairs without these attributes.
    chunk: ChunkLike | None = getattr(pair, name, None)
    return chunk
