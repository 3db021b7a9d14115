"""``run(until=...)``: replications until the interval is narrow, with an engine made by hand."""

import signal

import numpy as np
import pytest

from meshsim.errors import MeshsimError
from meshsim.lab import engines as module
from meshsim.lab.run import run
from meshsim.scenario import loads

SCENARIO = loads("""
name: small
duration: 100s
services: {api: {workers: 2, time: {exponential: 10ms}}}
load: [{to: api, rate: 10/s}]
""")


@pytest.fixture
def noisy(monkeypatch, make_records):
    """Each seed's latency is 1 s and a little by luck; Ctrl-C comes in a replication if asked for."""

    def replace(spread: float, *, requests: int = 1000, press_in: int | None = None, status=200):
        seeds: list[int] = []

        def engine(scenario, seed=None, *, progress=None):
            seeds.append(seed)
            start = np.linspace(0.0, 99.0, requests)
            try:
                if press_in == len(seeds):
                    signal.raise_signal(signal.SIGINT)
                progress(50.0)
            except KeyboardInterrupt:
                return make_records(scenario, start, 1.0, seed=seed, end=50.0, complete=False)
            luck = np.random.default_rng(seed).normal(1.0, spread)
            return make_records(scenario, start, luck, seed=seed, status=status)

        monkeypatch.setattr(module, "engine", lambda name, *parts: engine)
        return seeds

    return replace


def test_it_stops_when_the_interval_is_narrow(noisy) -> None:
    seeds = noisy(0.1)
    looks = []
    result = run(SCENARIO, seed=5, until="2%", looked=looks.append)
    until, found = result.summary["until"], result.summary["ci"]["latency.mean"]
    assert until["reached"]
    assert until["replications"] == result.summary["replications"] == len(seeds) > 10
    assert found["half_width"] <= 0.02 * found["mean"]
    assert until["precision"] == found["half_width"] / found["mean"]
    assert seeds == list(range(5, 5 + len(seeds)))  # each once
    assert [look.to for look in looks[:-1]] == [look.replications for look in looks[1:]]
    assert not any(look.reached for look in looks[:-1])
    assert any("2 % was asked" in note for note in result.summary["notes"])


def test_alike_replications_need_no_more_than_the_first_look(noisy) -> None:
    assert len(noisy(1e-6)) == 0
    assert run(SCENARIO, until=0.01).summary["replications"] == 10
    assert run(SCENARIO, until=0.01, replications=12).summary["replications"] == 12


def test_the_limit_ends_it_with_a_forecast(noisy) -> None:
    noisy(0.3)
    result = run(SCENARIO, until="1%", at_most=15)
    until = result.summary["until"]
    assert (until["replications"], until["reached"], until["at_most"]) == (15, False, 15)
    assert until["forecast"] > 1000
    assert any("would take about" in note for note in result.summary["notes"])
    assert not result.summary["partial"]


def test_ctrl_c_keeps_what_there_is(noisy) -> None:
    noisy(0.3, press_in=14)
    result = run(SCENARIO, until="1%")
    assert result.summary["partial"]
    assert result.summary["replications"] == 13
    assert result.summary["until"]["replications"] == 13
    assert not result.summary["until"]["reached"]
    assert "Interrupted after 13 replications." in result.summary["notes"]


def test_ctrl_c_before_two_replications_leaves_no_look(noisy) -> None:
    noisy(0.3, press_in=2)
    result = run(SCENARIO, until="1%")
    assert result.summary["replications"] == 1
    assert "until" not in result.summary


def test_a_percentile_is_refused_after_the_first_replication(noisy) -> None:
    seeds = noisy(0.1, requests=500)
    with pytest.raises(MeshsimError, match=r"latency.p99 can't be supported.*500 requests"):
        run(SCENARIO, until="5%", metric="latency.p99")
    assert len(seeds) == 1
    assert run(SCENARIO, until="50%", metric="latency.p95").summary["until"]["reached"]


def test_a_metric_without_a_value_is_told(noisy) -> None:
    noisy(0.1, status=504)
    with pytest.raises(MeshsimError, match="does not exist in every replication"):
        run(SCENARIO, until="5%", metric="ok_latency.mean")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"until": "1"}, "--until"),
        ({"until": "0%"}, "gets that narrow"),
        ({"until": "1%", "at_most": 5}, "too few"),
        ({"until": "1%", "metric": "latency.p98"}, "did you mean latency.p9"),
        ({"metric": "latency.p99"}, "add --until"),
        ({"at_most": 300}, "--at-most 300 is a limit of --until; add --until"),
        ({"until": "1%", "seed": (1 << 63) - 20}, "out of range"),
    ],
)
def test_bad_arguments_have_one_clear_message(noisy, arguments, message) -> None:
    seeds = noisy(0.1)
    with pytest.raises(MeshsimError, match=message):
        run(SCENARIO, **arguments)
    assert seeds == []


def test_progress_goes_on_over_all_looks(noisy) -> None:
    noisy(0.1)
    told: list[float] = []
    result = run(SCENARIO, until="2%", progress=told.append)
    assert told == sorted(told)
    assert told[-1] > 100.0 * (result.summary["replications"] - 1)
