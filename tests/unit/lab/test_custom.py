from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

import meshsim as ms
from meshsim.policies.balance import Balancer
from meshsim.policies.endpoint import Endpoint
from meshsim.policies.retry import RetryRule

SCENARIO = ms.Scenario.model_validate(
    {
        "duration": "5s",
        "services": {"cart": {"replicas": 2, "time": {"exponential": "5ms"}, "errors": "20%"}},
        "load": [{"to": "cart", "rate": "50/s"}],
    }
)


class First(Balancer):
    """Always the first host."""

    def pick(self, hosts: list[Endpoint], key: int, now: float) -> Endpoint:
        return hosts[0]


class Twice(RetryRule):
    """Two tries more, whatever happened, at once."""

    def __init__(self) -> None:
        super().__init__(attempts=2)

    def retriable(self, status: int, cause: int, now: float) -> bool:
        return status >= 400

    def wait(self, retry: int, u: float) -> float:
        return 0.0


def test_a_balancer_of_the_users_own() -> None:
    run = ms.run(SCENARIO, balancers={"cart": First})
    replicas = run.summary["services"]["cart"]["replicas"]
    assert replicas[0]["requests"] > 200
    assert replicas[1]["requests"] == 0


def test_a_retry_rule_of_the_users_own() -> None:
    run = ms.run(SCENARIO, retry_rules={"cart": Twice})
    assert run.summary["attempts"]["retries"] > 30
    assert run.summary["requests"]["success_ratio"] > 0.97


def test_a_process_of_the_users_own_sees_the_mesh() -> None:
    seen: list[int] = []

    def watch(simulation: ms.Simulation) -> Generator[Any, Any, None]:
        while True:
            yield simulation.env.timeout(0.1)
            seen.append(simulation.mesh.replicas["cart/0"].busy)

    ms.run(SCENARIO, processes=[watch])
    assert len(seen) == pytest.approx(50, abs=2)


def test_what_cannot_be_customised_is_said() -> None:
    with pytest.raises(ms.MeshsimError, match="no service 'crat'"):
        ms.run(SCENARIO, balancers={"crat": First})
    with pytest.raises(ms.MeshsimError, match="takes no balancers"):
        ms.run(SCENARIO, engine="reference", balancers={"cart": First})
