"""The order of an epoch: pure arithmetic over pairs, the same whatever the number of ranks and workers.

Dealing pairs out one by one would make every worker decode every frame. So an epoch is made of *visits*: some
hundred pairs of one scene, which share its frames. Visits are shuffled and laid end to end, the row is cut
into *lanes* of equal length, and the epoch takes one pair of every lane in turn. A batch therefore mixes as
many places as there are lanes, while whoever serves a lane walks through one scene at a time.
"""

from __future__ import annotations

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
    scene_of_pair: NDArray[np.int32], seed: int, epoch: int, lanes: int, pairs_per_visit: int
) -> NDArray[np.int64]:
    """Which pair every lane serves on every turn of an epoch.

    Args:
        scene_of_pair: (P,) int32 scene number of every pair, ascending.
        seed, epoch: choose the order.
        lanes: number of lanes.
        pairs_per_visit: most pairs a lane takes from a scene at a time.

    Returns:
        (lanes, P // lanes) int64 pair numbers, each at most once. The P mod lanes pairs left over are others
        in every epoch.
    """
    pairs = len(scene_of_pair)
    random = np.random.default_rng([seed, epoch])
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
