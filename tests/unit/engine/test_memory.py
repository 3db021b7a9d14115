"""Nothing of a request stays but its rows: no object outlives it, none waits for the cycle collector."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from meshsim.engine import Simulation
from meshsim.engine.body import Body
from meshsim.engine.clock import SimPyClock
from meshsim.engine.fast import FastSimulation
from meshsim.forms import FORM
from meshsim.measure.grid import Window
from meshsim.mesh.attempt import Attempt
from meshsim.mesh.call import Call, HedgeTimer
from meshsim.mesh.connection import Age, Connection, FarEnd
from meshsim.mesh.journey import Journey, Notice
from meshsim.mesh.load import ClientRequest
from meshsim.mesh.request import Request
from meshsim.mesh.station import Pass
from meshsim.mesh.visit import Nap
from meshsim.policies.balance import Balancer
from meshsim.scenario.model import Scenario

STRESSED = {
    "duration": "4s",
    "drain": "60s",
    "services": {
        "front": {
            "workers": 8,
            "time": {"exponential": "4ms"},
            "script": [[{"call": "cart"}, {"call": "cart"}]],
        },
        "cart": {
            "workers": 1,
            "queue": 20,
            "replicas": 2,
            "time": {"exponential": "8ms"},
            "when_abandoned": "stop",
            "keep_alive": "60ms",
        },
    },
    "mesh": {"dataplane": "sidecar", "proxy": {"time": {"exponential": "0.2ms"}, "workers": 2}},
    "links": {
        "default": {"latency": {"exponential": "0.5ms"}, "loss": "1%", "connect": {"exponential": "1ms"}}
    },
    "policies": {
        "cart": {
            "timeout": "150ms",
            "retries": {"attempts": 3, "per_try_timeout": "40ms"},
            "hedge": {"after": "20ms", "max": 2},
            "connection": {"connect_timeout": "4ms", "idle_timeout": "70ms", "max_age": "400ms"},
            "circuit_breaker": {"max_connections": 6, "max_pending": 8},
            "outlier_detection": {
                "base_ejection_time": "300ms",
                "interval": "100ms",
                "max_ejection_percent": "50%",
            },
        }
    },
    "load": [{"to": "front", "rate": "120/s"}],
    "events": [{"at": "1s", "for": "500ms", "replica": "cart/0", "down": True}],
}


def collect() -> None:
    """More than once: what a simulation's end lets go of is the next round's."""
    for _ in range(3):
        gc.collect()


def held_on_to(run: Callable[[], object], times: int = 5) -> float:
    """Blocks of memory that a run keeps after its end, on average; the first runs fill caches and pools.

    NOTE: the cycle collector knows nothing of compiled objects of requests, so they are not among
    `gc.get_objects`; but what they take is allocated.
    """
    for _ in range(3):
        run()
    collect()
    before = sys.getallocatedblocks()
    for _ in range(times):
        run()
    collect()
    return (sys.getallocatedblocks() - before) / times


@pytest.mark.skipif(not FORM.compiled, reason="the plain form's objects are collected as all others")
def test_the_collector_does_not_know_compiled_objects_of_requests() -> None:
    for kind in (Attempt, Call, ClientRequest, HedgeTimer, Journey, Nap, Notice, Pass, Request):
        assert not kind.__flags__ & 1 << 14, f"{kind.__name__} has Py_TPFLAGS_HAVE_GC"


@pytest.mark.parametrize("engine", [Simulation, FastSimulation])
def test_no_object_of_a_request_outlives_it(engine: type[Body]) -> None:
    def run() -> None:
        records = engine(Scenario.model_validate(STRESSED)).run()
        assert records.complete
        assert len(records.attempts.sent) > 1000

    assert held_on_to(run) < 20


def test_connections_that_are_closed_do_not_wait_for_the_collector() -> None:
    def count() -> int:
        return sum(isinstance(each, (Connection, FarEnd, Age)) for each in gc.get_objects())

    run = FastSimulation(Scenario.model_validate(STRESSED))
    collect()
    before = count()  # another test's run may be held by something
    gc.disable()
    try:
        run.run()
        left = count() - before
    finally:
        gc.enable()
    assert left < 100, "of over a thousand"


@pytest.mark.parametrize(
    ("engine", "error"), [(Simulation, ZeroDivisionError), (FastSimulation, KeyboardInterrupt)]
)
def test_a_run_that_is_cut_leaves_nothing(engine: type[Body], error: type[BaseException]) -> None:
    def cut(now: float) -> None:
        if now > 1.2:
            raise error

    def run() -> None:
        with suppress(ZeroDivisionError):
            engine(Scenario.model_validate(STRESSED)).run(cut)

    assert held_on_to(run) < 20


@pytest.mark.parametrize("engine", [Simulation, FastSimulation])
def test_a_run_that_is_cut_can_go_on(engine: type[Body]) -> None:
    def cut(now: float) -> None:
        if now > 1.2:
            raise KeyboardInterrupt

    scenario = Scenario.model_validate(STRESSED)
    whole, run = engine(scenario), engine(scenario)
    assert not run.run(cut).complete
    assert np.array_equal(run.run().requests.end, whole.run().requests.end)


@pytest.mark.parametrize("engine", [Simulation, FastSimulation])
def test_a_clock_that_outlives_its_run_fires_nothing(engine: type[Body]) -> None:
    run = engine(Scenario.model_validate(STRESSED))
    run.advance(1.2)
    clock, fired = run.clock, run.events
    del run
    if isinstance(clock, SimPyClock):
        clock.env.run(until=2.0)
        assert clock.fired == fired
    else:
        clock.run(2.0, 1_000_000)


@pytest.mark.parametrize("engine", [Simulation, FastSimulation])
def test_a_run_that_ends_at_its_limit_leaves_nothing(engine: type[Body]) -> None:
    full = {**STRESSED, "duration": "2s", "drain": "0s", "load": [{"to": "front", "rate": "400/s"}]}

    def run() -> None:
        assert not engine(Scenario.model_validate(full)).run().complete

    assert held_on_to(run) < 20


class Failing(Balancer):
    """Fails after a while."""

    def __init__(self) -> None:
        self.picks = 0

    def pick(self, hosts, key, now):  # type: ignore[no-untyped-def]
        self.picks += 1
        if self.picks > 100:
            raise ZeroDivisionError
        return hosts[self.picks % len(hosts)]


@pytest.mark.parametrize("engine", [Simulation, FastSimulation])
def test_a_run_that_fails_in_an_event_leaves_nothing(engine: type[Body]) -> None:
    def run() -> None:
        with pytest.raises(ZeroDivisionError):
            engine(Scenario.model_validate(STRESSED), balancers={"cart": Failing}).run()

    assert held_on_to(run) < 20


def test_a_process_that_knows_its_simulation_does_not_keep_it() -> None:
    full = {**STRESSED, "duration": "2s", "drain": "0s", "load": [{"to": "front", "rate": "400/s"}]}

    def watch(simulation: Simulation):  # type: ignore[no-untyped-def]
        while True:
            assert simulation.mesh is not None
            yield simulation.env.timeout(0.1)

    def run() -> weakref.ref[Simulation]:
        simulation = Simulation(Scenario.model_validate(full))
        simulation.env.process(watch(simulation))
        assert not simulation.run().complete
        return weakref.ref(simulation)

    left = [run() for _ in range(3)]
    collect()
    assert [each() for each in left] == [None, None, None]


def held(scenario: Scenario) -> tuple[int, int]:
    """Requests of a run, and the bytes that it holds more at its end than before."""
    gc.collect()
    tracemalloc.start()
    try:
        simulation = Simulation(scenario)
        before = tracemalloc.get_traced_memory()[0]
        run = simulation.run()
        gc.collect()
        return run.requested(Window(0.0, scenario.duration, 0, run.grid.last)), (
            tracemalloc.get_traced_memory()[0] - before
        )
    finally:
        tracemalloc.stop()


STEADY = {
    "services": {
        "front": {"time": {"uniform": {"low": "9.9ms", "high": "10.1ms"}}, "script": [{"call": "cart"}]},
        "cart": {"time": {"uniform": {"low": "4.9ms", "high": "5.1ms"}}, "errors": "1%", "replicas": 2},
    },
    "policies": {"cart": {"retries": {"attempts": 2, "backoff": {"base": "0.1ms", "max": "0.1ms"}}}},
    "load": [{"to": "front", "rate": "500/s"}],
}
"""Latencies fall into few buckets, so that every bin of time has soon seen all it will ever see."""


def test_a_run_that_keeps_histograms_holds_no_more_for_four_times_the_requests() -> None:
    growth = {}
    for keep in ("records", "histograms"):
        document = {**STEADY, "keep": keep, "tracing": {"sampling": 0}}
        few, many = (held(Scenario.model_validate({**document, "duration": each})) for each in ("2s", "8s"))
        assert many[0] > 3.5 * few[0]
        growth[keep] = (many[1] - few[1]) / (many[0] - few[0])
    assert growth["records"] > 300, "what would be seen if rows were kept, bytes a request"
    assert growth["histograms"] < 10
