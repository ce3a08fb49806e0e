"""How well a network's features tell matched pixels from others, in three numbers that need no labels.

The margin is the mean cosine similarity of matched pixels minus that of random pixels of the same two images;
the accuracy is how often a match's feature finds its own partner among the pair's sampled matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import takewhile

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pri3d_data.errors import UsageError
from pri3d_train.info_nce import gather_features
from pri3d_train.loader import PairSource
from pri3d_train.pair_batch import stack_pairs
from pri3d_train.pair_like import PairLike
from pri3d_train.pair_model import PairModel
from shards.dealing import places

#: A retrieved pixel this near to the true one counts as found.
RADIUS_PX = 5.0


@dataclass(frozen=True)
class Margin:
    """Means over pairs; similarities in [-1, 1], accuracy in [0, 1]."""

    pairs: int
    matched: float
    random: float
    margin: float
    retrieval: float

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def measure(model: PairModel, pairs: Iterable[PairLike], *, matches: int = 1024, seed: int = 0) -> Margin:
    """Measure ``model``, which has to be in evaluation mode, on ``pairs``; those without matches are skipped.

    Args:
        model: on the device to compute on.
        pairs: of any image sizes.
        matches: most matches a pair has; as many random pixel pairs are drawn.
        seed: of the random pixels.

    Raises:
        UsageError: no pair has a match.
    """
    random = torch.Generator().manual_seed(seed)
    rows = [_measure_pair(model, pair, matches, random) for pair in pairs if len(pair.matches)]
    if not rows:
        raise UsageError("No pair with matches was found to probe: choose other --scenes or more --pairs.")
    matched, unmatched, found = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return Margin(len(rows), matched, unmatched, matched - unmatched, found)


def first_pairs(source: PairSource, count: int) -> Iterator[PairLike]:
    """The first ``count`` pairs that have matches, in the order of the stream's first epoch."""
    for turn in source.serve(takewhile(lambda place: place.epoch == 0, places(source.deal, 0, 0))):
        for pair in turn:
            if count <= 0:
                return
            if len(pair.matches):
                count -= 1
                yield pair


@torch.no_grad()
def _measure_pair(
    model: PairModel, pair: PairLike, rows: int, random: torch.Generator
) -> tuple[float, float, float]:
    batch = stack_pairs([pair], max(rows, len(pair.matches))).to(model.mean.device)
    count = int(batch.valid.sum())
    maps = model.features(batch.image_a), model.features(batch.image_b)
    ends = batch.matches[:, :count, :2], batch.matches[:, :count, 2:]
    query, key = (_unit(features, pixels) for features, pixels in zip(maps, ends, strict=True))
    scores = query @ key.T
    retrieved = ends[1][0, scores.argmax(1)]
    distance = (retrieved - ends[1][0]).float().norm(dim=1)
    anywhere = (_unit(features, _random_pixels(pair, rows, random).to(features.device)) for features in maps)
    left, right = anywhere
    return (
        float(scores.diagonal().mean()),
        float((left * right).sum(1).mean()),
        float((distance <= RADIUS_PX).float().mean()),
    )


def _unit(features: Tensor, pixels: Tensor) -> Tensor:
    return normalize(gather_features(features, pixels)[0].float(), dim=-1)


def _random_pixels(pair: PairLike, count: int, random: torch.Generator) -> Tensor:
    height, width = pair.image_a.shape[:2]
    columns = torch.randint(width, (count,), generator=random)
    return torch.stack([columns, torch.randint(height, (count,), generator=random)], 1)[None]
