"""The order of an epoch: pure arithmetic over pairs, the same whatever the number of ranks and workers.

Dealing pairs out one by one would make every worker decode every frame. So an epoch is made of *visits*: some
hundred pairs of one scene, which share its frames. Visits are shuffled and laid end to end, the row is cut
into *lanes* of equal length, and the epoch takes one pair of every lane in turn. A batch therefore mixes as
many places as there are lanes, while whoever serves a lane walks through one scene at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shards.dealing import Deal

FEWEST_TURNS = 8


def lanes_for(pairs: int, most_lanes: int) -> int:
    """Lanes a data set of ``pairs`` pairs is dealt into: ``most_lanes`` halved until each holds 8 of them."""
    lanes = max(1, most_lanes)
    while lanes > 1 and pairs < FEWEST_TURNS * lanes:
        lanes //= 2
    return lanes


def epoch_order(
    scene_of_pair: NDArray[np.int64], seed: int, epoch: int, lanes: int, pairs_per_visit: int, part: int = 0
) -> NDArray[np.int64]:
    """Which pair every lane serves on every turn of an epoch.

    Args:
        scene_of_pair: (P,) int64 scene number of every pair, ascending.
        seed, epoch: choose the order.
        lanes: number of lanes.
        pairs_per_visit: most pairs a lane takes from a scene at a time.
        part: tells the data sets of a mixture apart.

    Returns:
        (lanes, ⌈P / lanes⌉) int64 pair numbers, each once; -1 in the last turn of lanes that have one less.
    """
    pairs = len(scene_of_pair)
    random = np.random.default_rng([seed, epoch, part])
    shuffled = np.lexsort((random.random(pairs), scene_of_pair))
    # Pairs stay grouped by scene here; their rank inside the scene says which visit they belong to.
    first_of_scene = np.searchsorted(scene_of_pair, scene_of_pair, side="left")
    rank = np.arange(pairs) - first_of_scene
    starts_visit = (rank % pairs_per_visit) == 0
    visit = np.cumsum(starts_visit) - 1
    place = random.permutation(int(visit[-1]) + 1) if pairs else np.zeros(0, np.int64)
    order = shuffled[np.argsort(place[visit], kind="stable")] if pairs else shuffled
    ends = _cuts(pairs, lanes)
    at = ends[:-1, None] + np.arange(-(-pairs // lanes))
    return np.where(at < ends[1:, None], order[np.minimum(at, pairs - 1)], -1)


def deal_of(starts: NDArray[np.int64], lanes: Sequence[int]) -> Deal:
    """The shape of every epoch of `mixed_order`, whatever its seed."""
    longest, turns = _longest(starts, lanes)
    pairs = int(starts[longest + 1] - starts[longest])
    takes_part = [np.ones(own, dtype=bool) for own in lanes]
    takes_part[longest] = np.diff(_cuts(pairs, lanes[longest])) == turns
    last = np.concatenate(takes_part)[_interleaved(lanes)]
    return Deal(sum(lanes), turns, tuple(np.flatnonzero(last).tolist()))


def lanes_by_weight(weights: Sequence[float], pairs: Sequence[int], most_lanes: int) -> list[int]:
    """How many lanes each of some data sets serves so that their shares of every batch follow their weights.

    Args:
        weights: of each, above 0, in any unit.
        pairs: of each, at least 1.
        most_lanes: of all together.

    Returns:
        Lanes of each, at least one; as near to the weights as whole lanes allow. Fewer in all where a data
        set has not pairs enough to fill its part.
    """
    shares = np.asarray(weights, dtype=np.float64) / sum(weights)
    lanes = max(most_lanes, len(pairs))
    while True:
        parts = np.maximum(1, np.floor(shares * lanes).astype(np.int64))
        while parts.sum() < lanes:
            parts[np.argmax(shares * lanes - parts)] += 1
        while parts.sum() > lanes:
            parts[np.argmax(np.where(parts > 1, parts - shares * lanes, -np.inf))] -= 1
        if (parts <= np.asarray(pairs)).all() or lanes <= len(pairs):
            return [int(part) for part in parts]
        lanes = max(len(pairs), lanes // 2)


def mixed_order(
    scene_of_pair: NDArray[np.int64],
    starts: NDArray[np.int64],
    lanes: Sequence[int],
    seed: int,
    epoch: int,
    pairs_per_visit: int,
) -> NDArray[np.int64]:
    """`epoch_order` of several data sets side by side, each in lanes of its own.

    An epoch is one pass over the data set that takes the most turns, every pair of it once. The others begin
    again as often as that takes, in a new order, and without the few pairs that do not fill a turn.

    Args:
        scene_of_pair: (P,) int64 scene number of every pair, ascending.
        starts: (D + 1,) int64, where each data set's pairs begin; the last is P.
        lanes: how many lanes each data set serves.
        seed, epoch, pairs_per_visit: as of `epoch_order`.

    Returns:
        (sum of lanes, turns) int64 pair numbers; -1 in the last turn of lanes that have one less.
    """
    spans = list(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True))
    longest, turns = _longest(starts, lanes)
    rows = []
    for number, ((first, last), own) in enumerate(zip(spans, lanes, strict=True)):
        if number == longest:
            order = epoch_order(scene_of_pair[first:last], seed, epoch, own, pairs_per_visit, number)
            rows.append(np.where(order < 0, -1, order + first))
            continue
        per_pass = (last - first) // own
        passes, skip = divmod(epoch * turns, per_pass)
        parts: list[NDArray[np.int64]] = []
        while sum(part.shape[1] for part in parts) < skip + turns:
            scenes = scene_of_pair[first:last]
            order = epoch_order(scenes, seed, passes + len(parts), own, pairs_per_visit, number)
            parts.append(order[:, :per_pass] + first)
        rows.append(np.concatenate(parts, axis=1)[:, skip : skip + turns])
    # Lanes of all data sets take turns, so that a batch smaller than a turn is mixed as well.
    return np.concatenate(rows)[_interleaved(lanes)]


def _longest(starts: NDArray[np.int64], lanes: Sequence[int]) -> tuple[int, int]:
    """The data set that takes the most turns, and how many."""
    pairs = np.diff(starts)
    turns = -(-pairs // np.asarray(lanes))
    longest = int(np.argmax(pairs / np.asarray(lanes)))
    return longest, int(turns[longest])


def _cuts(pairs: int, lanes: int) -> NDArray[np.int64]:
    """(lanes + 1,) where lanes begin in a row of pairs: as long as each other, but for one pair."""
    return (np.arange(lanes + 1, dtype=np.int64) * pairs) // lanes


def _interleaved(lanes: Sequence[int]) -> NDArray[np.intp]:
    """Which lane stands where, so that the data sets take turns."""
    place = np.concatenate([(np.arange(own) + 0.5) / own for own in lanes])
    return np.argsort(place, kind="stable")
