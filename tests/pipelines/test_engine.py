from __future__ import annotations

import os
import time
from typing import Any

import pytest
from distributed import Client, LocalCluster

from pipelines.cluster import open_cluster
from pipelines.engine import Engine, Job, JobDone, StageDone
from pipelines.stage import Done, Failed, Stage
from pri3d_data.errors import DataError, StorageError


def double(number: int) -> int:
    return 2 * number


def add(number: int, left: int, right: int) -> int:
    return number + left + right


def refuse(number: int, *inputs: int) -> int:
    raise DataError("is broken.", file="raw.sens", offset=number)


def crash(number: int, *inputs: int) -> int:
    return inputs[99]


def disk_is_full(number: int, *inputs: int) -> int:
    raise StorageError("No space left.")


def slow(number: int) -> int:
    time.sleep(4)
    return number


DIAMOND = (Stage("left", double), Stage("right", double), Stage("sum", add, needs=("left", "right")))


@pytest.fixture(scope="module")
def client() -> Any:
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(params=["here", "dask"])
def engine(request: pytest.FixtureRequest, client: Client) -> Engine:
    return Engine(None if request.param == "here" else client, 2)


def outcomes(engine: Engine) -> dict[str, Done | Failed]:
    return {event.job: event.outcome for event in engine.events() if isinstance(event, JobDone)}


def test_a_jobs_result_is_that_of_its_last_stage(engine: Engine) -> None:
    for number in range(9):
        engine.submit(Job(f"job{number}", DIAMOND, (number,)))
    done = outcomes(engine)
    assert {name: outcome.value for name, outcome in done.items()} == {f"job{n}": 5 * n for n in range(9)}  # type: ignore[union-attr]
    assert all(set(outcome.seconds) == {"left", "right", "sum"} for outcome in done.values())


def test_stages_are_reported_as_they_end(engine: Engine) -> None:
    engine.submit(Job("job", DIAMOND, (1,)))
    events = [event for event in engine.events() if isinstance(event, StageDone)]
    assert {event.stage for event in events} == {"left", "right"}


def test_a_failed_stage_fails_its_job_and_no_other(engine: Engine) -> None:
    broken = (Stage("left", double), Stage("right", refuse), Stage("sum", add, needs=("left", "right")))
    engine.submit(Job("bad", broken, (7,)))
    engine.submit(Job("good", DIAMOND, (1,)))
    done = outcomes(engine)
    failed = done["bad"]
    assert isinstance(failed, Failed)
    failure = failed.failure
    assert (failure.stage, failure.file, failure.offset, failure.reason) == (
        "right",
        "raw.sens",
        7,
        "is broken.",
    )
    assert isinstance(done["good"], Done)


def test_a_bug_of_ours_costs_its_job_and_says_where_it_is(engine: Engine) -> None:
    engine.submit(Job("bug", (Stage("only", crash),), (1,)))
    failed = outcomes(engine)["bug"]
    assert isinstance(failed, Failed)
    assert "IndexError" in failed.failure.reason
    assert "test_engine.py, line" in failed.failure.reason


def test_an_error_that_concerns_everybody_stops_the_run(engine: Engine) -> None:
    engine.submit(Job("full", (Stage("only", disk_is_full),), (1,)))
    with pytest.raises(StorageError, match="No space"):
        outcomes(engine)
    engine.cancel()
    assert list(engine.events()) == []


def test_jobs_may_be_submitted_while_others_run(engine: Engine) -> None:
    engine.submit(Job("first", DIAMOND, (1,)))
    seen = []
    for event in engine.events():
        if isinstance(event, JobDone):
            seen.append(event.job)
            if event.job == "first":
                engine.submit(Job("second", DIAMOND, (2,)))
    assert seen == ["first", "second"]


def test_cancelling_does_not_wait(client: Client) -> None:
    engine = Engine(client, 1)
    engine.submit(Job("slow", (Stage("first", double), Stage("only", slow)), (1,)))
    assert isinstance(next(engine.events()), StageDone)
    start = time.monotonic()
    engine.cancel()
    assert time.monotonic() - start < 3
    assert list(engine.events()) == []


def test_a_job_that_kills_its_worker_is_set_aside_and_the_others_go_on() -> None:
    with open_cluster(1, None) as cluster:
        engine = Engine(cluster.client, cluster.workers)
        engine.submit(Job("poison", (Stage("only", os._exit),), (1,)))
        engine.submit(Job("good", (Stage("only", abs),), (-3,)))
        done = outcomes(engine)
    poisoned, good = done["poison"], done["good"]
    assert isinstance(poisoned, Failed)
    assert "worker was lost or killed" in poisoned.failure.reason
    assert isinstance(good, Done)
    assert good.value == 3
