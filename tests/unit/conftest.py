"""Records made by hand: one client, one service `api`, whatever latencies and failures a test wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from meshsim.measure.grid import Grid
from meshsim.measure.records import Attempts, Calls, Records, Requests
from meshsim.measure.spans import COLUMNS
from meshsim.measure.table import columns
from meshsim.scenario.model import Scenario


def scenario_of(**changes: Any) -> Scenario:
    """A scenario of 100 s with 10 s warm-up and one service of two replicas with 4 workers each."""
    service = {"replicas": 2, "workers": 4, "time": "10ms", **changes.pop("api", {})}
    document = {
        "name": "by-hand",
        "description": "Records made by hand.",
        "duration": "100s",
        "warmup": "10s",
        "services": {"api": service},
        "load": [{"to": "api", "rate": "10/s"}],
    }
    return Scenario.model_validate({**document, **changes})


def records_of(
    scenario: Scenario,
    start: Any,
    latency: Any = 0.1,
    *,
    status: Any = 200,
    flag: Any = "",
    tries: Any = 1,
    seed: int = 1,
    end: float | None = None,
    complete: bool = True,
    interrupted: bool = False,
    busy: float = 0.5,
    queued: float = 0.0,
    spans: list[dict[str, object]] | None = None,
) -> Records:
    """A run whose every request makes so many tries one after the other, the last of which is answered.

    Args:
        scenario: of one service `api`.
        start: (n,) s.
        latency: of each request, s; NaN for an unfinished one.
        status: of each request (unfinished ones get 0).
        flag: of each request.
        tries: of each request; those after the first are retries.
        seed: of the run.
        end: of the run, s; None for the last answer.
        complete: whether it came to its own end.
        interrupted: whether Ctrl-C ended it.
        busy: workers busy at each replica all the time.
        queued: attempts waiting at each replica all the time.
        spans: sampled.
    """
    start = np.asarray(start, dtype=float)
    count = len(start)
    latency, tries = np.broadcast_to(latency, count).astype(float), np.broadcast_to(tries, count)
    status = np.where(np.isnan(latency), 0, status).astype(np.int64)
    flag, finish = np.broadcast_to(np.asarray(flag, dtype=str), count), start + latency
    end = float(max(scenario.duration, np.nanmax(finish, initial=0.0))) if end is None else end
    grid = Grid.of(scenario)
    names = [
        ("api", version, f"api/{version}/{n}" if version else f"api/{n}")
        for version, each in scenario.services["api"].deployments().items()
        for n in range(each.replicas)
    ]
    owner = np.repeat(np.arange(count), tries)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(tries) - tries, tries)
    last = number == tries[owner] - 1
    step = np.nan_to_num(latency, nan=1.0) / tries
    sent = start[owner] + number * step[owner]
    ended = np.where(last, finish[owner], sent + step[owner])
    width = np.diff(grid.edges(grid.bin_at(end) + 1))
    zeros, nobody = np.zeros(count, np.int64), np.zeros(count, bool)
    version = np.array([names[i % len(names)][1] for i in range(count)], dtype=str)
    return Records(
        engine="by-hand",
        seed=seed,
        end=end,
        complete=complete,
        grid=grid,
        edges=[("client", "api")],
        replicas=names,
        requests=Requests(
            zeros, start, finish, status, flag, tries.astype(np.int64), version, np.full(count, "")
        ),
        calls=Calls(zeros, zeros, start, start, finish, status, flag, version, nobody),
        attempts=Attempts(
            edge=np.zeros(len(owner), np.int64),
            endpoint=np.zeros(len(owner), np.int64),
            replica=owner % len(names),
            kind=np.minimum(number, 1),
            request_start=start[owner],
            sent=sent,
            arrived=sent,
            answered=ended,
            status=np.where(last, status[owner], 503),
            ended=ended,
            extra=number > 0,
        ),
        busy=np.outer(np.full(len(names), busy), width),
        queued=np.outer(np.full(len(names), queued), width),
        spans=columns(spans or [], COLUMNS),
        interrupted=interrupted,
    )


@pytest.fixture
def make_scenario() -> Callable[..., Scenario]:
    """The function `scenario_of`."""
    return scenario_of


@pytest.fixture
def make_records() -> Callable[..., Records]:
    """The function `records_of`."""
    return records_of
