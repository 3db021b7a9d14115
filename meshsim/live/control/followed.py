"""From an update to a proxy's machines: validated whole, then applied; else the last good one stays."""

from __future__ import annotations

from collections.abc import Callable

from meshsim.live import Address
from meshsim.live.control.messages import WORD_MOST, MessageError, Update
from meshsim.live.control.reading import UpdateReader
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
        self._reader = UpdateReader(scenario, [service for _, service in configured.upstreams])
        self.addresses = addresses
        self.now = now
        self._parts = [-1, -1, -1]
        self._replicas: dict[int, Replica] = {}
        configured.replicas = self._replicas

    def apply(self, update: Update) -> tuple[int, str]:
        """See `client.Apply`."""
        configuration, endpoints = self._reader.read(update)
        for service, replicas in endpoints.items():
            self._replicas.update({each.number: each for each in replicas})
            self.addresses.update({each.name: each.address for each in update.endpoints[service]})
        parts = list(self._parts)
        parts[update.part] = update.version
        newest, taken = self._take(configuration, update, parts)
        self._parts = parts
        if taken:
            self._reader.take(configuration.scenario, update)
        return newest, "" if taken else BY_SCENARIO

    def _take(self, configuration: Configuration, update: Update, parts: list[int]) -> tuple[int, bool]:
        try:
            return self.configured.take(configuration, update.version, update.part, parts, self.now())
        except Exception as error:  # whatever it is: requests are served on
            trouble(f"{OWN_ERROR}: a configuration could not be applied: {error!r}")
            self.configured.apply(self._reader.in_force, self.now())
            raise MessageError(f"it could not be applied: {error!r}"[:WORD_MOST]) from None
