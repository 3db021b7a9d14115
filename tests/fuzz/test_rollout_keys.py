"""Hostile values of the keys of control planes and rollouts: each file runs, or is refused with the line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import meshsim as ms
from meshsim.errors import ScenarioError
from meshsim.scenario import loads
from meshsim.scenario.advice import advise

FAST, LONG = 150, 5_000
HOSTILE = st.sampled_from([
    "-1s", "nan", "inf", "1e400s", "soon", "", "client", "\u001b[31m",
    -1, 5, 1.5, 10**30, True, None, [], {}, [[]],
])  # fmt: skip
TIMES = st.sampled_from(["0s", "1ns", "10ms", "500ms", "1s", "100h", "1e-300s"])
COUNTS = st.sampled_from([1, 2, 3, "unlimited"])
SERVICES = st.sampled_from(["web", "cart", "ver"])


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What is good, one time in thirty or so not."""
    return st.integers(0, 29).flatmap(lambda drawn: good if drawn else HOSTILE)


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping that has some of these keys."""
    return st.fixed_dictionaries({}, optional={name: mostly(value) for name, value in keys.items()})


RESTART = some(surge=st.sampled_from([1, 2]), unavailable=st.sampled_from([0, 1]))
SET = st.sampled_from([
    {"policies.cart.timeout": "100ms"}, {"policies.ver.split": {"a": 1}},
    {"access": [{"deny": {"to": "cart"}}]},
])  # fmt: skip
WHICH = st.sampled_from([{"service": "web"}, {"service": "cart"}, {"service": "ver", "version": "a"}])
KINDS = st.one_of(
    st.builds(lambda which, count: {**which, "replicas": count}, WHICH, mostly(st.integers(0, 3))),
    st.builds(lambda which, restart: {**which, "restart": restart}, WHICH, mostly(RESTART)),
    st.fixed_dictionaries({"set": mostly(SET)}, optional={"nack": mostly(st.lists(SERVICES, max_size=2))}),
    st.fixed_dictionaries({"component": st.just("control_plane"), "down": mostly(st.just(True))}),
)
AT = st.sampled_from(["0s", "1ns", "500ms", "1s", "1900ms"])
EVENT = st.builds(lambda kind, at: {**kind, "at": at}, KINDS, mostly(AT))
CONTROL_PLANE = some(debounce=TIMES, time=TIMES, workers=COUNTS, ordered=st.booleans())
REPLICAS = some(startup=TIMES, drain=TIMES)


GIVEN = given(
    st.lists(EVENT, max_size=3),
    mostly(CONTROL_PLANE),
    mostly(TIMES),
    st.lists(REPLICAS, min_size=3, max_size=3),
)


def check(events: list[Any], plane: Any, delay: Any, each: list[dict[str, Any]]) -> None:
    web, cart, ver = each
    text = json.dumps({
        "duration": "2s", "drain": "1s", "load": [{"to": "web", "rate": "20/s"}], "events": events,
        "services": {
            "web": {**web, "script": [{"call": "cart"}, {"call": "ver"}]}, "cart": {"replicas": 2, **cart},
            "ver": {**ver, "versions": {"a": {}, "b": {}}},
        },
        "mesh": {"dataplane": "sidecar", "control_plane": plane, "push_delay": delay},
    })  # fmt: skip
    scenario, refused = None, None
    try:
        scenario = loads(text)
    except ScenarioError as error:
        refused = error
    if scenario is None:
        assert refused is not None
        assert all(problem.line > 0 for problem in refused.problems), refused
        assert str(refused).replace("\n", "").isprintable()
        return
    advise(scenario)
    fast, told_again = (ms.run(scenario, engine=engine).numbers for engine in ("auto", "reference"))
    assert fast.requests == told_again.requests


@pytest.mark.parametrize("examples", [FAST, pytest.param(LONG, marks=pytest.mark.long)])
def test_a_hostile_value_is_refused_with_its_line_or_does_no_harm(examples: int) -> None:
    chosen = settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    chosen(GIVEN(check))()  # a function takes settings once
