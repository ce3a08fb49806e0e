"""The paper's baseline of trivial correspondences: one frame twice, told apart by augmentation alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pri3d_train.loader import PairSource
from pri3d_train.pair_like import PairLike
from shards.dealing import Place


@dataclass(frozen=True, eq=False)
class TrivialPair:
    """A pair whose second image is its first; ``frame_b`` still names the pair it came from.

    That keeps the augmentation of a frame different in each of its pairs.
    """

    scene: str
    frame_a: int
    frame_b: int
    image_a: NDArray[Any]
    image_b: NDArray[Any]
    matches: NDArray[Any]
    depth_a: NDArray[Any] | None = None
    depth_b: NDArray[Any] | None = None


class TrivialStream:
    """A stream's pairs in its order, each turned into a `TrivialPair`.

    Its matches are the pixels of the pair's own matches in the first frame, each with itself: they have
    depth, and a view run on the same pairs differs from this one in nothing but the second image.
    """

    has_geometry = False

    def __init__(self, source: PairSource) -> None:
        self.source = source
        self.deal = source.deal
        self.identity = source.identity

    def serve(self, wanted: Iterable[Place]) -> Iterator[list[PairLike]]:
        """See `PairSource`."""
        for turn in self.source.serve(wanted):
            yield [trivial(pair) for pair in turn]


def trivial(pair: PairLike) -> TrivialPair:
    """The first frame of ``pair`` with itself."""
    ends = pair.matches[:, :2]
    both = np.concatenate([ends, ends], 1)
    depth = getattr(pair, "depth_a", None)
    return TrivialPair(pair.scene, pair.frame_a, pair.frame_b, pair.image_a, pair.image_a, both, depth, depth)
