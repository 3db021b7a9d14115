"""When a mesh has come to rest nothing is left in it: every admitted attempt has ended exactly once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

from meshsim.engine import Simulation
from meshsim.mesh.proxy import Route
from meshsim.scenario.model import Scenario

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))
from scenarios import Document, scenarios


def routes(simulation: Simulation) -> list[Route]:
    return [route for proxy in simulation.mesh.proxies for route in proxy.routes.values()]


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(scenarios())
def test_a_mesh_at_rest_holds_nothing(document: Document) -> None:
    # work that nobody waits for any more may be sent again and again, which takes its time
    simulation = Simulation(Scenario.model_validate({**document, "drain": "1h"}))
    records = simulation.run()
    assert records.complete
    assert np.isfinite(records.requests.end).all()
    assert (records.calls.status != 0).all()
    assert np.isfinite(records.attempts.ended).all()
    for route in routes(simulation):
        for cluster in route.policy.clusters:
            gauges = cluster.breaker
            assert (gauges.active, gauges.pending, gauges.retries) == (0, 0, 0)
            assert all(host.active == 0 and host.head is None for host in cluster.hosts)
        for deadlines in (route.policy.timeouts, route.policy.try_timeouts, route.policy.hedges):
            assert deadlines is None or deadlines.head is None
    for replica in simulation.mesh.replicas.values():
        assert (replica.busy, replica.queue.length, replica.eldest) == (0, 0, None)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(scenarios())
def test_a_run_can_be_repeated_bit_by_bit(document: Document) -> None:
    scenario = Scenario.model_validate(document)
    one, two = (Simulation(scenario).run() for _ in range(2))
    assert one.requests.end.tobytes() == two.requests.end.tobytes()
    assert one.attempts.ended.tobytes() == two.attempts.ended.tobytes()
    assert one.busy.tobytes() == two.busy.tobytes()
