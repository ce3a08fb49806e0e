"""One process among those torchrun started: its rank, its device, and what all of them agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from pri3d_data.errors import StorageError, UsageError

_PEER_LOST = ("closed by peer", "reset by peer", "broken pipe", "timed out", "timeout")


@dataclass(frozen=True)
class World:
    """Rank ``rank`` of ``size``, computing on ``device``."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """True on the one rank that writes files and speaks to the user."""
        return self.rank == 0

    def share_of(self, batch_size: int, pieces: int = 1) -> int:
        """This rank's part of a global batch, which it can cut into ``pieces`` equal ones.

        Raises:
            UsageError: ``batch_size`` is no multiple of the number of ranks times ``pieces``.
        """
        if pieces > 1 and batch_size % (self.size * pieces):
            unit = self.size * pieces
            below = max(unit, batch_size - batch_size % unit)
            raise UsageError(
                f"--batch-size {batch_size} cannot be cut into --accumulate {pieces} equal pieces on each of "
                f"{self.size} processes: give {below} or {batch_size - batch_size % unit + unit}."
            )
        if batch_size % self.size:
            below = max(self.size, batch_size - batch_size % self.size)
            raise UsageError(
                f"--batch-size {batch_size} is the batch of all ranks and does not divide among {self.size}: "
                f"give {below} or {batch_size - batch_size % self.size + self.size}."
            )
        return batch_size // self.size

    def sum(self, values: list[torch.Tensor]) -> list[float]:
        """The sums over all ranks of a few () tensors, as Python numbers; every rank gets the same ones."""
        stacked = torch.stack([value.detach().to(self.device, torch.float64) for value in values])
        if self.size > 1:
            distributed.all_reduce(stacked)
        return [float(value) for value in stacked.tolist()]


@contextmanager
def join_world() -> Iterator[World]:
    """Join the process group torchrun describes, or be a world of one; left cleanly whatever happens inside.

    Uses NCCL and one GPU a rank where CUDA is present, gloo on the CPU otherwise.

    Raises:
        UsageError: torchrun's variables are incomplete, or there are more ranks on this machine than GPUs.
        StorageError: another rank vanished; the run can be resumed.
    """
    given = [name for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE") if name in os.environ]
    if given and len(given) < 3:
        raise UsageError(
            f"Of torchrun's variables only {', '.join(given)} are set: start with torchrun, or unset."
        )
    rank, local, size = (int(os.environ.get(n, d)) for n, d in _DEFAULTS.items())
    device = torch.device("cpu")
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise UsageError(
                f"Rank {rank} would be the {local + 1}th on a machine with {torch.cuda.device_count()} GPUs: "
                "lower torchrun's --nproc-per-node."
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if size == 1:
        yield World(0, 1, device)
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, rank=rank, world_size=size, timeout=timedelta(minutes=10))
    try:
        yield World(rank, size, device)
    except RuntimeError as error:
        if not any(sign in str(error).lower() for sign in _PEER_LOST):
            raise
        raise StorageError(
            f"Rank {rank} lost another rank, whose own message says why. Start the command again to resume."
        ) from error
    finally:
        distributed.destroy_process_group()


_DEFAULTS = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
