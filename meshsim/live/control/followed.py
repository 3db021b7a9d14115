"""From an update to a proxy's machines: validated whole, then applied; else the last good one stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from meshsim.live import Address
from meshsim.live.control.messages import WORD_MOST, Endpoint, MessageError, Update
from meshsim.live.troubles import OWN_ERROR, trouble
from meshsim.scenario.machines import ConfiguredProxy
from meshsim.scenario.model import Scenario
from meshsim.scenario.push import Configuration
from meshsim.scenario.topology import Replica

BY_SCENARIO = "the scenario has this proxy refuse it"


class Followed:
    """A proxy that is `configured` by what the control plane sends.

    `scenario` is that of the mesh; where endpoints are is put into `addresses`, by name; `now` is the time.
    """

    def __init__(
        self, configured: ConfiguredProxy, scenario: Scenario, addresses: dict[str, Address],
        now: Callable[[], float],
    ) -> None:  # fmt: skip
        self.configured = configured
        self.scenario = scenario
        self.addresses = addresses
        self.now = now
        self._config: Mapping[str, Any] = scenario.pushable()
        self._in_force = scenario
        self._parts = [-1, -1, -1]
        self._replicas: dict[int, Replica] = {}
        configured.replicas = self._replicas

    def apply(self, update: Update) -> tuple[int, str]:
        """See `client.Apply`."""
        endpoints = {service: self._found(service, some) for service, some in update.endpoints.items()}
        lacking = {service for _, service in self.configured.upstreams} - endpoints.keys()
        if lacking:
            raise MessageError(f"the endpoints of {', '.join(sorted(lacking))} are missing")
        scenario = self._read(update.config)
        for service, replicas in endpoints.items():
            self._replicas.update({each.number: each for each in replicas})
            self.addresses.update({each.name: each.address for each in update.endpoints[service]})
        numbers = {service: [each.number for each in some] for service, some in endpoints.items()}
        parts = list(self._parts)
        parts[update.part] = update.version
        configuration = Configuration(scenario, numbers, update.nacked)
        newest, taken = self._take(configuration, update, parts)
        self._parts = parts
        if taken:
            self._in_force, self._config = scenario, update.config
        return newest, "" if taken else BY_SCENARIO

    def _take(self, configuration: Configuration, update: Update, parts: list[int]) -> tuple[int, bool]:
        try:
            return self.configured.take(configuration, update.version, update.part, parts, self.now())
        except Exception as error:  # whatever it is: requests are served on
            trouble(f"{OWN_ERROR}: a configuration could not be applied: {error!r}")
            self.configured.apply(self._in_force, self.now())
            raise MessageError(f"it could not be applied: {error!r}"[:WORD_MOST]) from None

    def _read(self, config: Mapping[str, Any]) -> Scenario:
        """The scenario with what is pushed; MessageError if it is not valid."""
        if config == self._config:
            return self._in_force
        try:
            return self.scenario.with_pushed(config)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise MessageError(f"config is not valid: {' '.join(str(error).split())}"[:WORD_MOST]) from None

    def _found(self, service: str, some: list[Endpoint] | Any) -> list[Replica]:
        """Endpoints as replicas of a service; MessageError if they can't be its own."""
        config = self.scenario.services.get(service)
        if config is None:
            raise MessageError(f"there is no service {service[:WORD_MOST]}")
        deployments = config.deployments()
        found = []
        for each in some:
            if each.version not in deployments:
                raise MessageError(f"{service} has no version {each.version[:WORD_MOST]}")
            deployment = deployments[each.version]
            found.append(Replica(each.number, each.name, service, each.version, deployment, added=True))
        return found
