"""An update as a proxy reads it: all of it is validated before any of it is applied."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from meshsim.errors import ScenarioError
from meshsim.live.control.messages import WORD_MOST, Endpoint, MessageError, Update
from meshsim.scenario.model import Scenario
from meshsim.scenario.push import Configuration
from meshsim.scenario.pushes import PushedReader
from meshsim.scenario.topology import Replica


class UpdateReader:
    """Reads updates for the proxy of a mesh with a `scenario` that calls some `services`.

    Attributes:
        in_force: the scenario with what was taken last.
    """

    def __init__(self, scenario: Scenario, services: Collection[str]) -> None:
        self.in_force = scenario
        self._services = frozenset(services)
        self._scenario = scenario
        self._config: Mapping[str, Any] = scenario.pushable()
        self._reader = PushedReader(scenario)

    def read(self, update: Update) -> tuple[Configuration, dict[str, list[Replica]]]:
        """What is pushed, and the replicas of services; MessageError if it is not valid."""
        lacking = self._services - update.endpoints.keys()
        if lacking:
            raise MessageError(f"the endpoints of {', '.join(sorted(lacking))} are missing")
        config = self._pushed(update.config)
        found = {service: self._of(service, some) for service, some in update.endpoints.items()}
        numbers = {service: [each.number for each in some] for service, some in found.items()}
        return Configuration(config, numbers, update.nacked), found

    def take(self, scenario: Scenario, update: Update) -> None:
        """What was read of an update is in force."""
        self.in_force, self._config = scenario, update.config

    def _pushed(self, config: Mapping[str, Any]) -> Scenario:
        if config == self._config:
            return self.in_force
        try:
            return self._reader.read(config)
        except (ScenarioError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise MessageError(f"config is not valid: {' '.join(str(error).split())}"[:WORD_MOST]) from None

    def _of(self, service: str, some: Sequence[Endpoint]) -> list[Replica]:
        """Endpoints as replicas of a service; MessageError if they can't be its own."""
        config = self._scenario.services.get(service)
        if config is None:
            raise MessageError(f"there is no service {service[:WORD_MOST]}")
        deployments = config.deployments()
        found = []
        for each in some:
            if each.version not in deployments:
                raise MessageError(f"{service} has no version {each.version[:WORD_MOST]}")
            own, _, number = each.name.rpartition("/")
            if own != "/".join(filter(None, (service, each.version))) or not number.isdecimal():
                raise MessageError(f"no endpoint of {service} is called {each.name!r}"[:WORD_MOST])
            deployment = deployments[each.version]
            found.append(Replica(each.number, each.name, service, each.version, deployment, added=True))
        return found
