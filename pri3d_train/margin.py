"""How well a network's features tell matched pixels from others, in numbers that need no labels.

The margin is the mean cosine similarity of matched pixels minus that of random pixels of the same two images;
retrieval is how often a match's feature finds its own partner among the pair's sampled matches: within 5
pixels of it, and where the depth is known, within 2 cm of it in the world.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import takewhile

import numpy as np
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
#: The same for the points the two pixels see: the distance within which pixels match (paper, section 3.1).
RADIUS_M = 0.02


@dataclass(frozen=True)
class Margin:
    """Means over pairs; similarities in [-1, 1], retrieval in [0, 1].

    ``retrieval_2cm`` is over the matches whose true pixel has a measured depth, None where no pair has any.
    """

    pairs: int
    matched: float
    random: float
    margin: float
    retrieval: float
    retrieval_2cm: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """For JSON."""
        return asdict(self)


def measure(model: PairModel, pairs: Iterable[PairLike], *, matches: int = 1024, seed: int = 0) -> Margin:
    """Measure ``model``, which has to be in evaluation mode, on ``pairs``; those without matches are skipped.

    Args:
        model: on the device to compute on.
        pairs: of any image sizes; those with ``points_b``, (H, W, 3) metres of the second image's pixels in
            its camera's frame, NaN where unmeasured, are asked about 2 cm as well.
        matches: most matches a pair has; as many random pixel pairs are drawn.
        seed: of the random pixels.

    Raises:
        UsageError: no pair has a match.
    """
    random = torch.Generator().manual_seed(seed)
    rows = [_measure_pair(model, pair, matches, random) for pair in pairs if len(pair.matches)]
    if not rows:
        raise UsageError("No pair with matches was found to probe: choose other --scenes or more --pairs.")
    *columns, near = zip(*rows, strict=True)
    matched, unmatched, found = (sum(column) / len(rows) for column in columns)
    known = [share for share in near if share is not None]
    return Margin(
        len(rows), matched, unmatched, matched - unmatched, found, sum(known) / len(known) if known else None
    )


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
) -> tuple[float, float, float, float | None]:
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
        _near_in_space(pair, retrieved, ends[1][0]),
    )


def _near_in_space(pair: PairLike, retrieved: Tensor, true: Tensor) -> float | None:
    """Share of retrieved pixels whose point is within `RADIUS_M` of the true one's; None if none is known."""
    points = getattr(pair, "points_b", None)
    if points is None:
        return None
    found, wanted = (points[at[:, 1], at[:, 0]] for at in (retrieved.cpu().numpy(), true.cpu().numpy()))
    known = np.isfinite(wanted).all(axis=1)
    if not known.any():
        return None
    # A retrieved pixel without depth compares as NaN, which is not near.
    return float((np.linalg.norm(found - wanted, axis=1)[known] <= RADIUS_M).mean())


def _unit(features: Tensor, pixels: Tensor) -> Tensor:
    return normalize(gather_features(features, pixels)[0].float(), dim=-1)


def _random_pixels(pair: PairLike, count: int, random: torch.Generator) -> Tensor:
    height, width = pair.image_a.shape[:2]
    columns = torch.randint(width, (count,), generator=random)
    return torch.stack([columns, torch.randint(height, (count,), generator=random)], 1)[None]
