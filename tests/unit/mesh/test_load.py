"""Evenly spaced arrivals: as many as the model says, when it says, however many came before."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest

from meshsim import engine, reference
from meshsim.engine import fast
from meshsim.measure.records import Records
from meshsim.mesh.load import PIECES
from meshsim.scenario.model import Scenario

Simulate = Callable[..., Records]


@pytest.fixture(
    params=[reference.simulate, engine.simulate, fast.simulate], ids=["reference", "simpy", "fast"]
)
def simulate(request: pytest.FixtureRequest) -> Simulate:
    simulate: Simulate = request.param
    return simulate


def evenly(duration: str, **parts: Any) -> Scenario:
    load = {"to": "api", "arrivals": "constant"} | {
        key: parts.pop(key) for key in ("rate", "profile") if key in parts
    }
    return Scenario.model_validate(
        {"duration": duration, "services": {"api": {"time": "1ms"}}, "load": [load], **parts}
    )


@pytest.mark.parametrize(
    ("rate", "per_s", "seconds"),
    [
        ("5/s", "5", 19),
        ("1.1/s", "1.1", 30),
        ("0.7/s", "0.7", 90),
        ("23/m", "23/60", 60),
        ("31/m", "31/60", 300),
        ("333/s", "333", 7),
    ],
)
def test_arrival_n_is_at_n_over_the_rate(simulate: Simulate, rate: str, per_s: str, seconds: int) -> None:
    exact = Fraction(per_s)
    start = simulate(evenly(f"{seconds}s", rate=rate)).requests.start
    assert len(start) == ceil(exact * seconds) - 1, "those at the end itself do not happen"
    assert start.tolist() == pytest.approx([float(n / exact) for n in range(1, len(start) + 1)], rel=4e-16)


def test_pieces_of_a_profile_do_not_add_up_their_rounding(simulate: Simulate) -> None:
    points = [{"at": f"{7 * i}s", "rate": "0.3/s" if i % 2 else "0.7/s"} for i in range(20)]
    start = simulate(evenly("140s", profile=points)).requests.start
    due, area, expected = 1, Fraction(0), []
    for i in range(20):
        rate = Fraction(3 if i % 2 else 7, 10)
        while due <= area + 7 * rate:
            expected.append(7 * i + (due - area) / rate)
            due += 1
        area += 7 * rate
    expected = [float(time) for time in expected if time < 140]
    assert start.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rate", ["3/s", "7/s", "30/s", "1.1/s", "100/s"])
def test_a_limit_of_one_refuses_nobody_who_comes_at_its_rate(simulate: Simulate, rate: str) -> None:
    limit = {"rate_limit": {"burst": 1, "rate": rate}}
    run = simulate(evenly("60s", rate=rate, policies={"api": limit}))
    assert np.all(run.requests.status == 200)


def test_a_limit_of_one_passes_its_rate_and_no_more(simulate: Simulate) -> None:
    limit = {"rate_limit": {"burst": 1, "rate": "7/s"}}
    run = simulate(evenly("60s", rate="21/s", policies={"api": limit}))
    assert np.count_nonzero(run.requests.status == 200) == 420, "the first of every three"


def test_an_arrival_that_is_many_stays_away_is_found_in_steps_that_can_be_interrupted() -> None:
    mmpp = {"mmpp": {"rates": ["9/s", "11/s"], "mean_times": ["1us", "1us"]}}
    scenario = Scenario.model_validate(
        {"duration": "300ms", "services": {"api": {}}, "load": [{"to": "api", "arrivals": mmpp}]}
    )
    mine, theirs = fast.simulate(scenario), reference.simulate(scenario)
    steps = sum(np.diff([0.0, *theirs.requests.start, 0.3]) // (PIECES * 1.1e-6))
    assert steps > 0, "or all would be found at once"
    np.testing.assert_allclose(mine.requests.start, theirs.requests.start, atol=1e-12)
    assert mine.events >= steps + len(mine.requests.start)
