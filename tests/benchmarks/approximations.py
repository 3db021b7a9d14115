"""Where theory is only approximate: how far it is from the simulation, as a Markdown table.

    python tests/benchmarks/approximations.py [SCALE]

SCALE multiplies the number of requests (default 1: about ten minutes on one core). Theory is what
`meshsim.theory.solve` says of each scenario, where it says something, else the fluid formula named.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from meshsim.engine import simulate
from meshsim.measure.intervals import interval
from meshsim.measure.records import Records
from meshsim.measure.summary import summarise
from meshsim.scenario.model import Scenario
from meshsim.theory import measured, overload, solve

REPLICATIONS = 10
TEN = {"exponential": "10ms"}
WAIT = "derived.services.x.wait_mean"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario, one of its numbers, and theory's where `solve` has none."""

    name: str
    document: Document
    metric: str
    requests: int
    rate: float
    warm: float = 5.0
    theory: float | None = None
    read: Callable[[Records], float] | None = None
    duration: float | None = None


def lone(rate: float, policy: Document | None = None, **service: Any) -> Document:
    """The client and service x."""
    policies = {"policies": {"x": policy}} if policy else {}
    return {"services": {"x": service}, "load": [{"to": "x", "rate": f"{rate!r}/s"}], **policies}


def fork_join(branches: int, rate: float) -> Row:
    """Equal M/M/1 that are asked at the same time."""
    names = [f"b{i}" for i in range(branches)]
    services: Document = {"root": {"script": [[{"call": name} for name in names]]}}
    services |= {name: {"workers": 1, "time": TEN} for name in names}
    document = {"services": services, "load": [{"to": "root", "rate": f"{rate}/s"}]}
    return Row(f"forkjoin{branches}_rho{rate / 100:.1f}", document, "latency.mean", 64_000 // branches, rate)


def mean_field(rho: float, choices: int) -> Row:
    """A hundred replicas, for infinitely many."""
    policy = {"balance": {"least_request": {"choices": choices}}}
    document = lone(1e4 * rho, policy, workers=1, replicas=100, time=TEN)
    return Row(
        f"P2C_meanfield, {choices} of 100, load {rho}", document, "latency.mean", 20_000, 1e4 * rho, 1.0
    )


def linkerd(p: float) -> list[Row]:
    """Linkerd's budget where it binds."""
    budget = {"ratio": 0.2, "min_per_second": 0, "ttl": "10s"}
    policy = {"retries": {"attempts": "unlimited", "backoff": {"base": 0}, "budget": budget}}
    document = lone(200.0, policy, time="1ms", errors=p)
    rows = [("attempts.amplification", "tries a request"), ("requests.success_ratio", "success")]
    return [
        Row(f"Linkerd's budget, 20 %, {p:.0%} errors: {label}", document, metric, 8_000, 200.0, 20.0)
        for metric, label in rows
    ]


def collapse() -> list[Row]:
    """Goodput that stays away after a slow phase, because nobody cancels what was given up."""
    document = lone(90.0, {"timeout": "1s"}, workers=10, time={"exponential": "100ms"})
    document["events"] = [{"at": "8s", "for": "8s", "service": "x", "slow": 3}]
    waiting = overload.backlog(90.0, 100.0 / 3.0, 8.0)
    back = 16.0 + overload.goodput_back(waiting, 90.0, 100.0, 1.0, 0.1)
    rows = [
        ("backlog at 16 s", waiting, present_at(16.0)),
        ("seconds to drain", overload.drain_time(waiting, 90.0, 100.0), drained_after(16.0)),
        ("no goodput until, s", back, good_again_after(20.0)),
    ]
    return [
        Row(f"goodput_collapse_fluid: {label}", document, "", 0, 90.0, 0.0, value, read, 120.0)
        for label, value, read in rows
    ]


def present_at(time: float) -> Callable[[Records], float]:
    """How many attempts are at the service."""
    return lambda run: float(((run.attempts.arrived <= time) & (run.attempts.answered > time)).sum())


def drained_after(time: float) -> Callable[[Records], float]:
    """How long until no more are there than workers."""

    def read(run: Records) -> float:
        moments = np.sort(run.attempts.answered[run.attempts.answered > time])
        arrived, answered = np.sort(run.attempts.arrived), np.sort(run.attempts.answered)
        left = np.searchsorted(arrived, moments, side="right") - np.searchsorted(
            answered, moments, side="right"
        )
        return float(moments[np.argmax(left <= 10)] - time)

    return read


def good_again_after(time: float) -> Callable[[Records], float]:
    """The first second of whose requests at least half succeed."""

    def read(run: Records) -> float:
        seconds = run.requests.start.astype(np.int64)
        ok = np.bincount(seconds, weights=run.requests.status == 200) / np.bincount(seconds)
        return float(int(time) + np.argmax(ok[int(time) :] >= 0.5))

    return read


def wide(mean: str, scv: float) -> Document:
    """A log-normal time."""
    return {"lognormal": {"mean": mean, "cv": scv**0.5}}


ROWS = [
    Row(
        "GG1_Kingman (round robin over 2, log-normal)",
        lone(160.0, workers=1, replicas=2, time=wide("10ms", 2.0)),
        WAIT, 40_000, 160.0, 10.0,
    ),
    Row("MG4_AllenCunneen", lone(320.0, workers=4, time=wide("10ms", 2.0)), WAIT, 40_000, 320.0),
    Row("MD4_AllenCunneen", lone(320.0, workers=4, time="10ms"), WAIT, 40_000, 320.0),
    *(fork_join(branches, rate) for branches in (4, 8, 16) for rate in (50.0, 80.0)),
    mean_field(0.5, 2), mean_field(0.9, 2), mean_field(0.9, 5),
    *linkerd(0.3), *linkerd(0.6),
    *collapse(),
    *(
        Row(
            f"time-outs of {timeout} retried over M/M/4 at load {rate / 400:.1f}: mean latency",
            lone(rate, {"retries": {"attempts": 2, "per_try_timeout": timeout}}, workers=4, time=TEN),
            "latency.mean", 20_000, rate,
        )
        for rate, timeout in ((200.0, "60ms"), (240.0, "40ms"))
    ),
    Row(
        "threads that wait for a queue: mean latency",
        {
            "services": {
                "a": {"workers": 4, "time": TEN, "script": [{"call": "b"}]},
                "b": {"workers": 2, "time": TEN},
            },
            "load": [{"to": "a", "rate": "120/s"}],
        },
        "latency.mean", 20_000, 120.0,
    ),
    Row(
        "M/D/1 into M/D/1, by the ca² of departures: mean latency",
        {
            "services": {
                "a": {"workers": 1, "time": "10ms", "holds_worker": False, "script": [{"call": "b"}]},
                "b": {"workers": 1, "time": "9ms"},
            },
            "load": [{"to": "a", "rate": "80/s"}],
        },
        "latency.mean", 20_000, 80.0,
    ),
]  # fmt: skip


def simulated(row: Row, scenario: Scenario) -> list[float]:
    """The number in each replication."""
    values = []
    for seed in range(REPLICATIONS):
        run = simulate(scenario, 5_000 + seed)
        value = row.read(run) if row.read else measured(summarise([run], scenario), row.metric)
        values.append(float("nan") if value is None else value)
    return values


def line(row: Row, scale: float) -> str:
    """A row of the table."""
    duration = row.duration or row.warm + row.requests * scale / row.rate
    times = {"duration": f"{duration!r}s", "warmup": f"{row.warm!r}s", "tracing": {"sampling": 0.0}}
    scenario = Scenario.model_validate({**row.document, **times})
    prediction = solve(scenario).get(row.metric)
    theory = row.theory if prediction is None else prediction.value
    assert theory is not None, row.name
    found = interval(simulated(row, scenario))
    unit, factor = ("ms", 1e3) if "mean" in row.metric else ("", 1.0)
    simulation = f"{found.mean * factor:.4g} ± {found.half_width * factor:.2g} {unit}"
    return f"| {row.name} | {theory * factor:.4g} {unit} | {simulation} | {theory / found.mean - 1.0:+.1%} |"


def main() -> None:
    """Print the table."""
    scale = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print("| case | theory | simulation (95 %) | theory is off by |\n|---|---|---|---|")
    for row in ROWS:
        print(line(row, scale), flush=True)


if __name__ == "__main__":
    main()
