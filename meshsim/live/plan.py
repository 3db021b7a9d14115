"""Who takes part in a live mesh: every replica of a scenario, and the client."""

from __future__ import annotations

from dataclasses import dataclass

from meshsim.scenario.model import CLIENT, Deployment, Scenario

CLIENT_ID = f"{CLIENT}/0"


@dataclass(frozen=True, slots=True)
class Place:
    """A replica, and what runs there.

    Attributes:
        id: such as ``cart/v1/0``.
        service: it belongs to.
        deployment: how it works.
        calls: services that it may call.
    """

    id: str
    service: str
    deployment: Deployment
    calls: tuple[str, ...]


def places(scenario: Scenario) -> list[Place]:
    """Every replica, in the order in which engines number them."""
    called: dict[str, list[str]] = {name: [] for name in scenario.services}
    for caller, service in scenario.edges():
        if caller != CLIENT:
            called[caller].append(service)
    return [
        Place(f"{name}/{version}/{i}" if version else f"{name}/{i}", name, deployment, tuple(called[name]))
        for name, service in scenario.services.items()
        for version, deployment in service.deployments().items()
        for i in range(deployment.replicas)
    ]
