"""Who serves which sample of a stream: arithmetic over lanes, for any number of ranks and of workers.

The samples of an epoch stand in one order, a turn of all lanes after the other, and epochs follow each other
without a gap. Counted from where a run started, every R-th sample is one rank's; so ranks always have equally
many, together they have all of them, once, and where R divides the lanes a rank keeps whole lanes to itself.
The place in that order is all that a checkpoint has to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """Some lanes of one turn of an epoch, ascending."""

    epoch: int
    turn: int
    lanes: tuple[int, ...]


@dataclass(frozen=True)
class Deal:
    """The shape of an epoch.

    Attributes:
        lanes: how many there are.
        turns: of an epoch.
        last: lanes that take part in the last turn, ascending; in all others every lane does.
    """

    lanes: int
    turns: int
    last: tuple[int, ...]

    @property
    def samples(self) -> int:
        """Of an epoch."""
        return (self.turns - 1) * self.lanes + len(self.last)

    def lanes_of(self, turn: int) -> tuple[int, ...]:
        """Lanes that take part in a turn."""
        return self.last if turn == self.turns - 1 else tuple(range(self.lanes))


def places(deal: Deal, epoch: int, sample: int, rank: int = 0, ranks: int = 1) -> Iterator[Place]:
    """What a rank serves of an endless stream, turn after turn; turns it has no part in are left out.

    Args:
        deal: the shape of every epoch.
        epoch, sample: where the stream stands: the next sample, counted inside its epoch, is rank 0's.
        rank, ranks: of whom.
    """
    turn, skip = divmod(sample, deal.lanes)
    served = 0
    while True:
        lanes = deal.lanes_of(turn)[skip:]
        own = lanes[(rank - served) % ranks :: ranks]
        if own:
            yield Place(epoch, turn, own)
        served += len(lanes)
        turn, skip = turn + 1, 0
        if turn == deal.turns:
            epoch, turn = epoch + 1, 0


def share_of_worker(place: Place, worker: int, workers: int, ranks: int) -> Place:
    """The lanes of a place that one of a rank's loader processes reads, always the same ones; maybe none."""
    return Place(
        place.epoch,
        place.turn,
        tuple(lane for lane in place.lanes if lane // ranks % workers == worker),
    )


def advanced(deal: Deal, epoch: int, sample: int, samples: int) -> tuple[int, int]:
    """Epoch and sample of the stream after ``samples`` more."""
    passed, inside = divmod(sample + samples, deal.samples)
    return epoch + passed, inside
