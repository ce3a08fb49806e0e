"""Where stages run: nowhere special, worker processes of this machine, or a Dask cluster by address."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import dask
from distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from pri3d_data.errors import UsageError

_JOIN_SECONDS = 10
# One thread each: stages run side by side, and libraries that start threads of their own get in the way.
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    ),
    1,
)


@dataclass(frozen=True)
class Cluster:
    """A place to run stages.

    Attributes:
        client: None where stages run in this process.
        workers: processes that work side by side.
        memory_limit: bytes a worker may take before Dask restarts it; 0 where someone else decides.
        dashboard: address of Dask's dashboard, empty without one.
    """

    client: Client | None
    workers: int
    memory_limit: int
    dashboard: str


@contextlib.contextmanager
def open_cluster(workers: int, scheduler: str | None) -> Iterator[Cluster]:
    """Start workers on this machine, or join a running cluster.

    Args:
        workers: worker processes to start; 0 runs everything in this process, which helps in a debugger.
        scheduler: address of a running Dask scheduler (``tcp://host:port``), which then decides.

    Raises:
        UsageError: the scheduler does not answer, or has no workers.
    """
    if scheduler:
        with _join(scheduler) as client:
            known = len(client.scheduler_info(n_workers=-1)["workers"])
            yield Cluster(client, max(1, known), 0, str(client.dashboard_link))
    elif workers == 0:
        yield Cluster(None, 1, 0, "")
    else:
        with _start(workers) as cluster, Client(cluster) as client:
            yield Cluster(client, workers, MEMORY_LIMIT // workers, str(client.dashboard_link))


@contextlib.contextmanager
def _join(scheduler: str) -> Iterator[Client]:
    try:
        client = Client(scheduler, timeout=_JOIN_SECONDS)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"No Dask scheduler answers at '{scheduler}' ({error or 'no connection in time'}). Start one "
            "with `dask scheduler` and workers with `dask worker ADDRESS --nthreads 1`, or use --workers N."
        ) from error
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def _start(workers: int) -> Iterator[LocalCluster]:
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    settings = {
        "distributed.nanny.pre-spawn-environ": _ONE_THREAD,
        # A stage holds the interpreter lock for seconds while numba compiles; that is no reason to complain.
        "distributed.admin.tick.limit": "1h",
        "distributed.comm.timeouts.connect": "60s",
    }
    with dask.config.set(settings):
        # Ctrl-C reaches the whole process group. Workers are to ignore it: this process winds the build down.
        before = signal.getsignal(signal.SIGINT)
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                host="127.0.0.1",
                silence_logs=logging.CRITICAL,
            )
        finally:
            with contextlib.suppress(ValueError):
                signal.signal(signal.SIGINT, before)
    try:
        yield cluster
    finally:
        # Dask stumbles over a worker that it is just starting again; by now its work is done or given up.
        with contextlib.suppress(AssertionError):
            cluster.close(timeout=5)
