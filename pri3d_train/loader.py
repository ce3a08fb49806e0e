"""The stream of pairs as one rank's endless sequence, the same whatever number of processes reads it.

An epoch of the stream is turns of lanes. Rank r of R owns lanes r, r+R, ...; worker w of W reads every W-th
of those and hands over its samples of one turn at a time, which the main process puts back into lane order.
The position in that order is all the state there is.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pri3d_data.errors import DataError, Pri3DError, StorageError, UsageError
from pri3d_train.pair_like import PairLike

#: Shorter than the half minute that launchers wait between SIGTERM and SIGKILL.
_GRACE_S = 20


class PairSource(Protocol):
    """What the loader needs of `shards.stream.PairStream`; see there for the order it promises."""

    @property
    def lanes(self) -> int:
        """Independent lanes, fixed by data and parameters."""

    @property
    def turns(self) -> int:
        """Full turns over all lanes in an epoch."""

    def iterate(self, epoch: int, lanes: Sequence[int], start_turn: int = 0) -> Iterator[Sequence[PairLike]]:
        """One list a turn: the samples of ``lanes``, in their order."""


class _LaneTurns(IterableDataset[Any]):
    """Endless turns of one rank's lanes, cut among the loader's workers."""

    def __init__(self, source: PairSource, lanes: Sequence[int], epoch: int, turn: int) -> None:
        self.source = source
        self.lanes = lanes
        self.epoch = epoch
        self.turn = turn

    def __iter__(self) -> Iterator[Sequence[PairLike] | Pri3DError]:
        worker = get_worker_info()
        lanes = self.lanes if worker is None else self.lanes[worker.id :: worker.num_workers]
        epoch, turn = self.epoch, self.turn
        try:
            while True:
                yield from self.source.iterate(epoch, lanes, turn)
                epoch, turn = epoch + 1, 0
        except Pri3DError as error:
            # Raised here it would reach the user as the text of a trace; as a value it arrives as it is.
            yield error


class PairLoader:
    """Batches of one rank, and the state that lets another run go on with the next pair.

    Args:
        source: the stream; picklable if ``workers`` is not 0.
        batch_size: pairs a rank and step.
        seed: the seed ``source`` was made with; only compared with that of ``state``.
        rank: this process.
        ranks: how many there are.
        workers: loader processes of this rank.
        state: what `state` gave, of a run with any number of ranks and workers.

    Raises:
        UsageError: the lanes cannot be shared evenly by the ranks, the data are smaller than one turn, or
            ``state`` belongs to another order of samples.
    """

    def __init__(
        self,
        source: PairSource,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 0,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        if source.turns < 1:
            raise UsageError("The data hold fewer pairs than one turn of the stream: build more scenes.")
        if source.lanes % ranks:
            usable = [n for n in range(1, source.lanes + 1) if source.lanes % n == 0]
            nearest = min(usable, key=lambda n: (abs(n - ranks), n))
            raise UsageError(
                f"{source.lanes} lanes of data cannot be shared evenly by {ranks} ranks, so some pairs would "
                f"be seen more often than others: start {nearest} processes instead."
            )
        self._source = source
        self._batch = batch_size
        self._ranks = ranks
        self._lanes = list(range(rank, source.lanes, ranks))
        # A worker without a lane would have nothing to say when its turn comes.
        self._workers = min(workers, len(self._lanes))
        self._seed = seed
        self._epoch, self._position = 0, 0
        #: Epoch of each pair of the batch handed out last, which may span two.
        self.epochs: list[int] = []
        if state is not None:
            self._epoch, self._position = self._start(state)

    def _start(self, state: Mapping[str, Any]) -> tuple[int, int]:
        for name, mine in (("version", 1), ("seed", self._seed), ("lanes", self._source.lanes)):
            if state.get(name) != mine:
                raise UsageError(
                    f"The checkpoint's stream has {name} {state.get(name)}, this run {mine}: the next pair "
                    "is not defined. Resume with the same data, --hold-out and --seed, or start anew in "
                    "another --output."
                )
        samples = int(state["samples"])
        if samples % self._ranks:
            raise UsageError(
                f"{samples} samples of this epoch are done, which {self._ranks} ranks cannot have shared: "
                "resume with the number of processes the checkpoint was made with."
            )
        return int(state["epoch"]), samples // self._ranks

    def state(self) -> dict[str, int]:
        """Where the stream stands after the batches handed out so far; plain ints, equal on every rank."""
        return {
            "version": 1,
            "epoch": self._epoch,
            "samples": self._position * self._ranks,
            "seed": self._seed,
            "lanes": self._source.lanes,
        }

    def __iter__(self) -> Iterator[list[PairLike]]:
        """Batches without end, epoch after epoch; a batch may span two epochs.

        Raises:
            DataError: the stream met bytes that are not what they claim to be.
            StorageError: a loader process died.
        """
        per_epoch = self._source.turns * len(self._lanes)
        samples = self._samples()
        while True:
            batch = [next(samples) for _ in range(self._batch)]
            self.epochs = [self._epoch + (self._position + i) // per_epoch for i in range(self._batch)]
            done = self._position + self._batch
            self._epoch, self._position = self._epoch + done // per_epoch, done % per_epoch
            yield batch

    def _samples(self) -> Iterator[PairLike]:
        turn, already_seen = divmod(self._position, len(self._lanes))
        for samples in self._turns(_LaneTurns(self._source, self._lanes, self._epoch, turn)):
            yield from samples[already_seen:]
            already_seen = 0

    def _turns(self, dataset: _LaneTurns) -> Iterator[list[PairLike]]:
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
        while failure is None:
            turn: list[PairLike] = [None] * len(self._lanes)  # type: ignore[list-item]
            for worker in range(count):
                share = _next_share(shares)
                if isinstance(share, Pri3DError):
                    failure = share
                    break
                turn[worker::count] = share
            else:
                yield turn
        # The loader's processes end once nothing refers to it; an error raised from within it would.
        del shares
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
