"""What the trainer reads of a pair of the stream; `shards.stream.Pair` is one, and so is anything alike."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray


class PairLike(Protocol):
    """Two frames of a scene and their matches.

    Pairs may also have ``chunk_a`` and ``chunk_b`` (see `pri3d_train.geometry_batch.ChunkLike`; None for a
    frame without geometry), and ``depth_a`` and ``depth_b``, (H, W) float32 metres of the colour pixels, 0
    where nothing was measured.
    """

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
