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

FEWEST_TURNS = 8


def lanes_for(pairs: int, most_lanes: int) -> int:
    """Lanes a data set of ``pairs`` pairs is dealt into: ``most_lanes`` halved until each holds 8 of them."""
    lanes = max(1, most_lanes)
    while lanes > 1 and pairs < FEWEST_TURNS * lanes:
        lanes //= 2
    return lanes


def epoch_order(
    scene_of_pair: NDArray[np.int32], seed: int, epoch: int, lanes: int, pairs_per_visit: int, part: int = 0
) -> NDArray[np.int64]:
    """Which pair every lane serves on every turn of an epoch.

    Args:
        scene_of_pair: (P,) int32 scene number of every pair, ascending.
        seed, epoch: choose the order.
        lanes: number of lanes.
        pairs_per_visit: most pairs a lane takes from a scene at a time.
        part: tells the data sets of a mixture apart.

    Returns:
        (lanes, P // lanes) int64 pair numbers, each at most once. The P mod lanes pairs left over are others
        in every epoch.
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
    turns = pairs // lanes
    # Lanes are cut from the whole row, so the leftover is spread evenly between them.
    starts = (np.arange(lanes, dtype=np.int64) * pairs) // lanes
    table: NDArray[np.int64] = order[starts[:, None] + np.arange(turns)[None, :]]
    return table


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
    scene_of_pair: NDArray[np.int32],
    starts: NDArray[np.int64],
    lanes: Sequence[int],
    seed: int,
    epoch: int,
    pairs_per_visit: int,
) -> NDArray[np.int64]:
    """`epoch_order` of several data sets side by side, each in lanes of its own.

    An epoch is one pass over the data set that takes the most turns; the others begin again, in a new order,
    as often as that takes.

    Args:
        scene_of_pair: (P,) int32 scene number of every pair, ascending.
        starts: (D + 1,) int64, where each data set's pairs begin; the last is P.
        lanes: how many lanes each data set serves.
        seed, epoch, pairs_per_visit: as of `epoch_order`.

    Returns:
        (sum of lanes, turns) int64 pair numbers.
    """
    spans = list(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True))
    turns = mixed_turns(starts, lanes)
    rows = []
    for number, ((first, last), own) in enumerate(zip(spans, lanes, strict=True)):
        per_pass = (last - first) // own
        passes, skip = divmod(epoch * turns, per_pass)
        parts: list[NDArray[np.int64]] = []
        while sum(part.shape[1] for part in parts) < skip + turns:
            scenes = scene_of_pair[first:last]
            order = epoch_order(scenes, seed, passes + len(parts), own, pairs_per_visit, number)
            parts.append(order + first)
        rows.append(np.concatenate(parts, axis=1)[:, skip : skip + turns])
    # Lanes of all data sets take turns, so that a batch smaller than a turn is mixed as well.
    place = np.concatenate([(np.arange(own) + 0.5) / own for own in lanes])
    return np.concatenate(rows)[np.argsort(place, kind="stable")]


def mixed_turns(starts: NDArray[np.int64], lanes: Sequence[int]) -> int:
    """Turns of an epoch of `mixed_order`."""
    return int((np.diff(starts) // np.asarray(lanes)).max())
