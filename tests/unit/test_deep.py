"""Chains of calls deeper than Python's stack, and more replicas than memory bears."""

from __future__ import annotations

import pytest

from meshsim import engine, reference
from meshsim.engine import fast
from meshsim.errors import MeshsimError
from meshsim.lab.jobs import memory
from meshsim.lab.run import run
from meshsim.scenario import loads
from meshsim.scenario.advice import advise
from meshsim.scenario.model import Scenario
from meshsim.theory.recognise.solver import solve

HOPS = 1_200


def chain(**each: object) -> Scenario:
    services: dict[str, dict[str, object]] = {
        f"s{i}": {**each, "script": [{"call": f"s{i + 1}"}]} for i in range(HOPS - 1)
    }
    services[f"s{HOPS - 1}"] = {**each, "time": "1ms"}
    return Scenario.model_validate(
        {
            "duration": "1s",
            "services": services,
            "load": [{"to": "s0", "rate": "2/s", "arrivals": "constant"}],
        }
    )


@pytest.fixture(scope="module")
def deep() -> Scenario:
    return chain()


@pytest.mark.parametrize("simulate", [reference.simulate, engine.simulate, fast.simulate])
def test_a_deep_chain_is_simulated(deep: Scenario, simulate) -> None:
    records = simulate(deep)
    assert records.requests.status.tolist() == [200]
    assert len(records.calls.start) == HOPS


def test_a_deep_chain_is_reckoned_with(deep: Scenario) -> None:
    assert memory.expected_rows(deep) == pytest.approx(2.0 * (1 + 2 * HOPS))
    assert advise(deep) == []
    found = {prediction.metric: prediction for prediction in solve(deep).predictions}
    assert found["latency.mean"].value == pytest.approx(0.001)
    assert found[f"services.s{HOPS - 1}.rate"].value == pytest.approx(2.0)


@pytest.mark.long
def test_a_chain_of_queues_is_solved_or_said_to_be_too_long() -> None:
    solution = solve(chain(workers=2, time="1ms", holds_worker=False))
    assert {f"services.s{HOPS - 1}.utilisation"} <= {each.metric for each in solution.predictions}


def test_callers_times_callees_must_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "services: {a: {replicas: 3000, script: [{call: b}]}, b: {replicas: 3000}}\n"
        "duration: 1s\nkeep: histograms\nload: [{to: a, rate: 1/s}]\n"
    )
    monkeypatch.setattr(memory, "available", lambda: 2_000_000_000)
    with pytest.raises(MeshsimError, match=r"3,000 replicas of a .* 3,000 of b; .* 2.25 GB"):
        run(loads(text))
    memory.check_mesh(loads(text.replace("3000", "2000")))
