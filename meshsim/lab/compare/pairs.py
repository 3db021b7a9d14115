"""What a pair of runs leaves behind: small, so that a hundred of them fit in memory and between processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshsim.lab.run import Run
from meshsim.measure import metrics
from meshsim.measure.grid import Floats, Ints
from meshsim.measure.metrics import COMPARED_OF_SERVICE
from meshsim.measure.objectives import meets
from meshsim.measure.records import Records
from meshsim.measure.request_pairs import RequestPairs, compare_requests, pairable
from meshsim.measure.result import at
from meshsim.measure.series import whole
from meshsim.measure.summary import HEADLINE, Summary
from meshsim.scenario.model import Objective, Scenario

TAIL_EDGES: Floats = 1e-6 * np.power(1.02, np.arange(1165, dtype=np.float64))
"""1 us to three hours in steps of 2 %, which no picture shows, s."""


@dataclass(frozen=True, slots=True)
class PairedRun:
    """One run of a pair; `values` by metric, `met` by objective's metric.

    `tail` is (len(TAIL_EDGES) + 1,) measured requests with success, by latency, None without records;
    `times`, `goodput` are (n,): middle of each bin until arrivals stop, s, and successes in it per second.
    """

    numbers: Summary
    values: dict[str, float | None]
    met: dict[str, bool]
    tail: Ints | None
    times: Floats
    goodput: Floats


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs with one seed; `requests` pairs them one by one, None where they can't be paired."""

    seed: int
    a: PairedRun
    b: PairedRun
    requests: RequestPairs | None


def pair_of(a: Run, b: Run) -> Pair:
    """What is kept of two runs with one seed, each of one replication."""
    paths = comparable(a.scenario, b.scenario)
    return Pair(a.numbers.seed, _kept(a, paths), _kept(b, paths), _requests(a, b))


def comparable(a: Scenario, b: Scenario) -> list[str]:
    """The metrics that runs of both scenarios have, but for objectives."""
    services = [name for name in a.services if name in b.services]
    return [*HEADLINE, *(f"services.{name}.{key}" for name in services for key in COMPARED_OF_SERVICE)]


def limits(scenario: Scenario) -> dict[str, float]:
    """The limits of its objectives, by metric: ``objectives.cart.p99``, or ``objectives.cart/add.p99``."""
    return {
        f"objectives.{objective.target}.{key}": limit
        for objective in scenario.objectives
        for key, limit in objective.limits.items()
    }


def with_limits(scenario: Scenario, other: Scenario) -> Scenario:
    """The scenario with the other's objectives where it has no limit of its own: both are asked the same."""
    own = limits(scenario)
    more = [
        Objective.model_construct(service=objective.service, endpoint=objective.endpoint, **{key: limit})
        for objective in other.objectives
        for key, limit in objective.limits.items()
        if _asked_of(objective, scenario) and f"objectives.{objective.target}.{key}" not in own
    ]
    return scenario.model_copy(update={"objectives": (*scenario.objectives, *more)})


def _asked_of(objective: Objective, scenario: Scenario) -> bool:
    """Whether a scenario has what an objective is about."""
    service = scenario.services.get(objective.service)
    return service is not None and (objective.endpoint is None or objective.endpoint in service.endpoints)


def _kept(run: Run, paths: Sequence[str]) -> PairedRun:
    client = run.series_columns["kind"] == "client"
    rows = {name: column[client] for name, column in run.series_columns.items()}
    shown = (rows["time"] < run.scenario.duration * (1.0 - 1e-9)) & whole(rows["width"])
    objectives, met = _objectives(run.numbers)
    return PairedRun(
        numbers=run.numbers,
        values={**{path: at(run.numbers, path) for path in paths}, **objectives},
        met=met,
        tail=_tail(run),
        times=(rows["time"] + rows["width"] / 2.0)[shown],
        goodput=rows["goodput"][shown],
    )


def _objectives(numbers: Summary) -> tuple[dict[str, float | None], dict[str, bool]]:
    values: dict[str, float | None] = {}
    met: dict[str, bool] = {}
    for objective in numbers.objectives:
        for key, measured in objective.measured.items():
            path = f"objectives.{objective.target}.{key}"
            values[path] = measured
            met[path] = met.get(path, True) and meets(key, measured, objective.limits[key])
    return values, met


def _tail(run: Run) -> Ints | None:
    record = run.records[0]
    if not isinstance(record, Records):
        return None
    rows, start = record.requests, run.numbers.warmup
    measured = (rows.start >= start) & (rows.start < start + run.numbers.measured)
    good = measured & (rows.status > 0) & (rows.status < 400)
    bins = np.searchsorted(TAIL_EDGES, (rows.end - rows.start)[good], side="right")
    return np.bincount(bins, minlength=len(TAIL_EDGES) + 1)


def _requests(a: Run, b: Run) -> RequestPairs | None:
    """Request by request, where both have been measured; None where the two can't be paired."""
    first, second = a.records[0], b.records[0]
    loads, _ = pairable(a.scenario, b.scenario)
    if not loads or not isinstance(first, Records) or not isinstance(second, Records):
        return None
    start = max(run.numbers.warmup for run in (a, b))
    end = min(run.numbers.warmup + run.numbers.measured for run in (a, b))
    return compare_requests(first, second, loads, start, end)


def values(metric: str, pairs: Sequence[Pair]) -> tuple[list[float], list[float]] | None:
    """A metric in A and in B, pair by pair; None if a run has none."""
    a = [value for each in pairs if (value := each.a.values.get(metric)) is not None]
    b = [value for each in pairs if (value := each.b.values.get(metric)) is not None]
    return (a, b) if len(a) == len(b) == len(pairs) else None


def weak(metric: str, pairs: Sequence[Pair]) -> bool:
    """Whether a metric is a percentile that some run is too short for."""
    sides = [side for each in pairs for side in (each.a, each.b)]
    return not all(metrics.supports(side.numbers, metric) for side in sides)
