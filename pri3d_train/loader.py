"""The stream of pairs as one rank's endless sequence, the same whatever number of processes reads it.

Which samples are a rank's, and which of these a loader process reads, `shards.dealing` says. A worker hands
over its samples of one turn at a time, which the main process puts back into their order. The place in that
order is all the state there is.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import FrameType
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pri3d_data.errors import DataError, Pri3DError, StorageError, UsageError
from pri3d_train.pair_like import PairLike
from shards.dealing import Deal, Place, advanced, places, share_of_worker

#: Shorter than the half minute that launchers wait between SIGTERM and SIGKILL.
_GRACE_S = 20
#: Of the state a checkpoint holds.
_VERSION = 2


class PairSource(Protocol):
    """What the loader needs of `shards.stream.PairStream`; see there for the order it promises."""

    @property
    def deal(self) -> Deal:
        """The shape of every epoch."""

    @property
    def identity(self) -> str:
        """Equal for streams of the same order."""

    def serve(self, wanted: Iterable[Place]) -> Iterator[Sequence[PairLike]]:
        """For every place the samples of its lanes, in their order."""


class _RankTurns(IterableDataset[Any]):
    """One rank's samples from some place on, each worker's share of a turn at a time."""

    def __init__(self, source: PairSource, start: tuple[int, int], rank: int, ranks: int) -> None:
        self.source = source
        self.start = start
        self.rank = rank
        self.ranks = ranks

    def places(self) -> Iterator[Place]:
        return places(self.source.deal, *self.start, self.rank, self.ranks)

    def __iter__(self) -> Iterator[Sequence[PairLike] | Pri3DError]:
        worker = get_worker_info()
        who, of = (0, 1) if worker is None else (worker.id, worker.num_workers)
        try:
            yield from self.source.serve(share_of_worker(p, who, of, self.ranks) for p in self.places())
        except Pri3DError as error:
            # Raised here it would reach the user as the text of a trace; as a value it arrives as it is.
            yield error


class PairLoader:
    """Batches of one rank, and the state that lets another run go on with the next pair.

    Args:
        source: the stream; picklable if ``workers`` is not 0.
        batch_size: pairs a rank and step.
        rank: this process.
        ranks: how many there are.
        workers: loader processes of this rank.
        state: what `state` gave, of a run with any number of ranks and workers.

    Raises:
        UsageError: there are more ranks than lanes, or ``state`` belongs to another order of samples.
    """

    def __init__(
        self,
        source: PairSource,
        *,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 0,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        if ranks > source.deal.lanes:
            raise UsageError(
                f"{ranks} ranks cannot share {source.deal.lanes} lanes of data: the data set is small. Start "
                f"at most {source.deal.lanes} processes, or build more scenes."
            )
        self._source = source
        self._batch = batch_size
        self._rank = rank
        self._ranks = ranks
        # A worker without a lane would have nothing to say when its turn comes.
        self._workers = min(workers, -(-source.deal.lanes // ranks))
        self._at = (0, 0) if state is None else self._start(state)
        #: Epoch of each pair of the batch handed out last, which may span two.
        self.epochs: list[int] = []

    def _start(self, state: Mapping[str, Any]) -> tuple[int, int]:
        for name, mine in (("version", _VERSION), ("order", self._source.identity)):
            if state.get(name) != mine:
                raise UsageError(
                    f"The checkpoint's stream has {name} {state.get(name)}, this run {mine}: the next pair "
                    "is not defined. Resume with the same data, weights, --hold-out and --seed, or start "
                    "anew in another --output."
                )
        return int(state["epoch"]), int(state["sample"])

    def state(self) -> dict[str, int | str]:
        """Where the stream stands after the batches handed out so far, equal on every rank.

        Any number of ranks and workers may go on from it, with any batch.
        """
        epoch, sample = self._at
        return {"version": _VERSION, "epoch": epoch, "sample": sample, "order": self._source.identity}

    def __iter__(self) -> Iterator[list[PairLike]]:
        """Batches without end, epoch after epoch; a batch may span two epochs.

        Raises:
            DataError: the stream met bytes that are not what they claim to be.
            StorageError: a loader process died.
        """
        for batch in self._batches():
            self.epochs = [epoch for epoch, _ in batch]
            self._at = advanced(self._source.deal, *self._at, self._batch * self._ranks)
            yield [pair for _, pair in batch]

    def _batches(self) -> Iterator[list[tuple[int, PairLike]]]:
        samples = self._samples()
        while True:
            yield list(islice(samples, self._batch))

    def _samples(self) -> Iterator[tuple[int, PairLike]]:
        """Epoch and pair, one after the other."""
        dataset = _RankTurns(self._source, self._at, self._rank, self._ranks)
        shares = iter(
            DataLoader(
                dataset,
                batch_size=None,
                num_workers=self._workers,
                collate_fn=_as_it_is,
                worker_init_fn=_outlive_the_last_step,
                # Forking a process that runs CUDA or Arrow threads deadlocks sooner or later.
                multiprocessing_context="spawn" if self._workers else None,
                # It draws a seed nobody uses; from the global generator that would set a resumed run apart.
                generator=torch.Generator(),
            )
        )
        count = max(1, self._workers)
        failure: Pri3DError | None = None
        for place in dataset.places():
            found: dict[int, PairLike] = {}
            for worker in range(count):
                share = _next_share(shares)
                if isinstance(share, Pri3DError):
                    failure = share
                    break
                lanes = share_of_worker(place, worker, count, self._ranks).lanes
                found |= dict(zip(lanes, share, strict=True))
            if failure is not None:
                break
            yield from ((place.epoch, found[lane]) for lane in place.lanes)
        # The loader's processes end once nothing refers to it; an error raised from within it would.
        del shares
        assert failure is not None
        raise failure


def _next_share(shares: Iterator[Any]) -> Sequence[PairLike] | Pri3DError:
    try:
        share: Sequence[PairLike] | Pri3DError = next(shares)
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error):
            raise
        return StorageError(
            f"A loader process died ({error}), most often for want of memory. Run the command again to "
            "resume, with fewer --workers if it happens again."
        )
    except StopIteration:
        return DataError("the stream of pairs ended, which it never should.")
    return share


def _as_it_is(share: Any) -> Any:
    return share


def _outlive_the_last_step(_: int) -> None:
    # Ctrl-C, and torchrun's SIGTERM, reach the whole process group, but the trainer still wants the pairs of
    # the step it is in. SIGTERM therefore ends this process late, yet surely: its parent waits for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # SLURM sends it to every process of a step, and it would kill one that does not know it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)


def _end_later(number: int, frame: FrameType | None) -> None:
    signal.alarm(_GRACE_S)
