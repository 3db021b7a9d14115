"""The fast engine: its clock, its limits, and policies of the user's own in it."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from heapq import heapify, heappop, heappush
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meshsim as ms
from meshsim.engine import Simulation, heap
from meshsim.engine import fast as fast_module
from meshsim.engine.fast import FastSimulation, simulate
from meshsim.engine.heap import HeapClock
from meshsim.errors import MeshsimError
from meshsim.lab.run import run
from meshsim.mesh.clock import Event
from meshsim.scenario.model import Scenario

SHOP = {
    "duration": "5s",
    "services": {
        "front": {"workers": 8, "time": {"exponential": "4ms"}, "script": [{"call": "cart"}]},
        "cart": {"replicas": 3, "workers": 2, "time": {"exponential": "8ms"}, "errors": "5%"},
    },
    "policies": {"cart": {"retries": {"attempts": 2}}},
    "load": [{"to": "front", "rate": "200/s"}],
}


# ---- the clock --------------------------------------------------------------------------------------


class Noted(Event):
    """Notes when it fires, and schedules what it is told to."""

    def __init__(self, clock: HeapClock, log: list[Any], follow: list[tuple[float, int]]) -> None:
        self.clock, self.log, self.follow = clock, log, follow

    def fire(self, step: int, now: float) -> None:
        self.log.append((now, step))
        if step < 0:
            raise ZeroDivisionError("as asked")
        for delay, following in self.follow:
            self.clock.at(now + delay, Noted(self.clock, self.log, []), following)


times = st.integers(0, 5).map(lambda value: value / 4)  # many ties
occurrences = st.lists(st.tuples(times, st.lists(st.tuples(times, st.integers(1000, 2000)), max_size=3)))


@settings(max_examples=200, deadline=None)
@given(occurrences, st.integers(1, 7))
def test_events_fire_in_order_of_time_and_then_of_scheduling(
    planned: list[tuple[float, list[tuple[float, int]]]], chunk: int
) -> None:
    clock, log = HeapClock(), []
    plain: list[tuple[float, int, int, list[tuple[float, int]]]] = []
    for number, (time, follow) in enumerate(planned):
        clock.at(time, Noted(clock, log, follow), number)
        plain.append((time, number, number, follow))
    heapify(plain)
    expected, number = [], len(planned)
    while plain:
        now, _, step, follow = heappop(plain)
        expected.append((now, step))
        for delay, following in follow:
            heappush(plain, (now + delay, number, following, []))
            number += 1
    while clock.pending:
        clock.run(10.0, chunk)
    assert log == expected
    assert clock.events == len(expected)
    assert all(event is None for event in clock._slot_event), "nothing is held"


def test_a_place_taken_early_counts_among_what_is_due_at_the_same_time() -> None:
    clock, log = HeapClock(), []
    early = clock.number()
    clock.at(1.0, Noted(clock, log, []), 2)
    clock.at_number(1.0, Noted(clock, log, []), 1, early)
    clock.run(2.0, 100)
    assert log == [(1.0, 1), (1.0, 2)]
    assert clock.now == 2.0, "nothing is left before it"


def test_an_event_that_fails_leaves_the_clock_whole() -> None:
    clock, log = HeapClock(), []
    for number in range(50):
        clock.at(number / 10, Noted(clock, log, []), -1 if number == 20 else number)
    with pytest.raises(ZeroDivisionError):
        clock.run(10.0, 1000)
    clock.run(10.0, 1000)
    assert [step for _, step in log] == [*range(20), -1, *range(21, 50)]


def test_a_clock_that_is_full_says_so() -> None:
    clock = HeapClock()
    clock.most = 4 * heap.ROOM
    event = Noted(clock, [], [])
    for number in range(4 * heap.ROOM):
        clock.at(1.0, event, number)
    with pytest.raises(MeshsimError, match=r"4096 events are waiting at 0 s.*can't keep up"):
        clock.at(1.0, event, 0)
    assert clock.pending == 4 * heap.ROOM


def test_a_run_of_too_many_events_says_so() -> None:
    clock = HeapClock()
    clock.numbers = heap.NUMBERS + 1
    with pytest.raises(MeshsimError, match="split it into replications"):
        clock.run(1.0, 1)


def test_a_run_too_long_for_the_clock_is_refused() -> None:
    long = Scenario.model_validate({**SHOP, "duration": "200d"})
    with pytest.raises(MeshsimError, match=r"only distinguishes times of 7\.45 ns; simulate at most 52 days"):
        FastSimulation(long)


# ---- policies of the user's own ---------------------------------------------------------------------


class Busiest(ms.Balancer):
    """The worst choice, in plain Python."""

    def pick(self, hosts, key, now):
        return max(hosts, key=lambda host: (host.active, host.index))


class Broken(ms.Balancer):
    """Fails after a while."""

    def pick(self, hosts, key, now):
        if now > 1.0:
            return hosts[len(hosts)]
        return hosts[0]


class Twice(ms.RetryRule):
    """Two retries of everything at once, with state of its own."""

    def __init__(self) -> None:
        super().__init__(attempts=2)
        self.asked = 0

    def retriable(self, status, cause, now):
        self.asked += 1
        return status >= 500

    def wait(self, retry, u):
        return 0.001 * u


def test_a_policy_in_python_runs_in_both_engines_alike() -> None:
    scenario = Scenario.model_validate(SHOP)
    own = {"balancers": {"cart": Busiest}, "retry_rules": {"cart": Twice}}
    fast, simpy = (run(scenario, engine=engine, **own) for engine in ("fast", "simpy"))
    assert fast.summary["engine"] == "fast"
    assert fast.requests.equals(simpy.requests)
    loads = [replica["requests"] for replica in fast.summary["services"]["cart"]["replicas"]]
    assert loads[2] > 0.9 * sum(loads), "the last of equals is the busiest"
    assert fast.summary["attempts"]["retries"] > 20
    assert not fast.requests.equals(run(scenario, engine="fast").requests)


def test_a_balancer_with_a_method_ended_hears_how_tries_end() -> None:
    heard = []

    class Listening(Busiest):
        def ended(self, host, since, now):
            heard.append(now - since)

    done = run(Scenario.model_validate(SHOP), engine="fast", balancers={"cart": Listening})
    arrived = sum(each["requests"] for each in done.summary["services"]["cart"]["replicas"])
    assert len(heard) > 0.9 * arrived > 0


def test_a_mistake_in_a_policy_shows_where_it_is() -> None:
    with pytest.raises(IndexError) as raised:
        run(Scenario.model_validate(SHOP), engine="fast", balancers={"cart": Broken})
    frames = traceback.extract_tb(raised.value.__traceback__)
    assert frames[-1].name == "pick"
    assert frames[-1].line == "return hosts[len(hosts)]"
    assert any(frame.filename.endswith("cluster.py") for frame in frames), "and the way there, in the sources"


def test_what_a_balancer_returns_is_checked() -> None:
    class Nothing(ms.Balancer):
        def pick(self, hosts, key, now):
            return "cart/0"

    with pytest.raises((MeshsimError, TypeError), match=r"must return one of its hosts|cart/0|str"):
        run(Scenario.model_validate(SHOP), engine="fast", balancers={"cart": Nothing})


class Careless(ms.RetryRule):
    """Forgets its base class."""

    def __init__(self) -> None:
        self.asked = 0


class Declared(ms.RetryRule):
    """Sets in the class what compiled code reads in the object."""

    attempts = 3


class Backwards(ms.RetryRule):
    """Would have time run backwards."""

    seconds = -1.0

    def retriable(self, status, cause, now):
        return status >= 500

    def wait(self, retry, u):
        return self.seconds


class Never(Backwards):
    """Neither before nor after."""

    seconds = float("nan")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (Careless, r"Careless\.__init__ must call super\(\)\.__init__"),
        (Declared, r"Declared\.attempts must be given to super\(\)\.__init__"),
        (Backwards, r"Backwards\.wait must return seconds of at least 0, not -1\.0"),
        (Never, r"Never\.wait must return seconds of at least 0, not nan"),
    ],
)
@pytest.mark.parametrize("engine", ["fast", "simpy"])
def test_a_rule_that_would_give_wrong_numbers_is_refused(engine: str, rule: type, told: str) -> None:
    with pytest.raises(MeshsimError, match=told):
        run(Scenario.model_validate(SHOP), engine=engine, retry_rules={"cart": rule})


# ---- the user waits, and interrupts -----------------------------------------------------------------


def test_ctrl_c_ends_a_run_between_two_chunks_and_keeps_what_there_is() -> None:
    seen: list[float] = []

    def progress(now: float) -> None:
        seen.append(now)
        if len(seen) == 10:
            signal.raise_signal(signal.SIGINT)

    scenario = Scenario.model_validate({**SHOP, "duration": "1000s", "tracing": {"sampling": 0}})
    result = run(scenario, engine="fast", progress=progress)
    assert result.summary["partial"]
    assert len(seen) <= 11
    assert result.summary["requests"]["offered"] > 100


def test_progress_is_told_many_times_in_a_long_run() -> None:
    seen: list[float] = []
    simulate(Scenario.model_validate(SHOP), progress=seen.append)
    assert len(seen) >= 200
    assert seen == sorted(seen)


def test_the_cycle_collector_is_left_as_it_was() -> None:
    before = gc.get_threshold()
    simulate(Scenario.model_validate(SHOP))
    assert gc.get_threshold() == before
    assert gc.isenabled()


def test_runs_in_threads_leave_the_cycle_collector_as_it_was() -> None:
    before = gc.get_threshold()
    scenario = Scenario.model_validate({**SHOP, "duration": "1s"})
    with ThreadPoolExecutor(4) as pool:
        ends = {records.end for records in pool.map(lambda _: simulate(scenario), range(8))}
    assert len(ends) == 1
    assert gc.get_threshold() == before


@pytest.mark.parametrize("chunk", [1, 7])
def test_events_are_counted_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    scenario = Scenario.model_validate({**SHOP, "duration": "1s"})
    expected = Simulation(scenario).run()
    monkeypatch.setattr(fast_module, "CHUNK", chunk)
    assert simulate(scenario).events == expected.events


def test_a_million_passes_are_lost_without_harm() -> None:
    """In a process of its own, since what it is about is a crash: a long line freed by recursion."""
    program = """if True:
        from meshsim.engine.heap import HeapClock
        from meshsim.mesh.clock import Event
        from meshsim.mesh.station import WorkerStation
        from meshsim.random import Constant

        for end in ("dropped", "given up", "passed"):
            clock = HeapClock()
            station = WorkerStation(clock, Constant(1e-6), 1)
            class Nothing(Event):
                def fire(self, step, now): pass
            nothing = Nothing()
            for number in range(1_000_000):
                station.enter(nothing, 0, number, 3, 0.0)
            if end == "dropped":
                station.drop()
            elif end == "passed":
                clock.run(1e9, 2_000_000)
            del station, clock
        print("fine")
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_runs_leave_no_memory_behind() -> None:
    scenario = Scenario.model_validate({**SHOP, "duration": "1s"})
    simulate(scenario)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(5):
        simulate(scenario)
        FastSimulation(scenario).advance(0.5)  # given up in the middle
    gc.collect()
    assert sys.getallocatedblocks() - before < 2000
