"""What an Envoy is told by the control plane, one update after the other, and what it says to each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from meshsim.live import Address
from meshsim.live.control.lines import Lines
from meshsim.live.control.messages import WORD_MOST, MessageError, Update
from meshsim.live.control.reading import UpdateReader
from meshsim.live.envoy.agents import EnvoyFollower
from meshsim.live.envoy.process import GLANCE, Envoy, RefusedError
from meshsim.live.envoy.refusals import refused_policies
from meshsim.live.troubles import OWN_ERROR, trouble
from meshsim.mesh.control_plane import CLUSTERS, ROUTES
from meshsim.mesh.proxy import proxy_key
from meshsim.scenario.model import Scenario
from meshsim.scenario.push import Configuration, Receiver
from meshsim.scenario.topology import Proxy

PATIENCE = 10.0
"""How long an Envoy may take to accept an update, s."""
UNWRITABLE = "its files can't be written: {}"
WAITING = 8
"""So many updates wait for an Envoy, which takes a tenth of a second for each; of more, the newest count."""

Answer = Callable[[EnvoyFollower, Lines, Update, int, str], None]
"""Says what has become of an update: as `Follower.answer`."""


class ConfiguredEnvoy(Receiver):
    """An Envoy as the control plane knows it.

    Attributes:
        gone: its process was ended, as its replica has gone for good.
        joined: it has taken an update.
    """

    def __init__(self, envoy: Envoy, seed: int, proxy: Proxy, answer: Answer) -> None:
        super().__init__(proxy_key(seed, proxy.number), proxy.callers)
        self.envoy = envoy
        self.gone = self.joined = False
        self._answer = answer
        self._inbox: deque[tuple[EnvoyFollower, Lines, Update]] = deque()
        self._now: tuple[EnvoyFollower, Lines, Update] | None = None
        self._deadline = self._looked = 0.0
        self._reader = UpdateReader(envoy.proxy.scenario, envoy.proxy.upstreams)
        self._parts = [-1, -1, -1]
        self._part = 0
        self._newest = -1
        self._addresses: dict[str, Address] = {}

    def receive(self, follower: EnvoyFollower, stream: Lines, update: Update) -> None:
        """An update has come; where many wait, it takes the place of the one before it."""
        if len(self._inbox) >= WAITING:
            for place in reversed(range(len(self._inbox))):
                by, line, older = self._inbox[place]
                if older.part == update.part:
                    self._inbox[place] = follower, stream, update
                    self._answer(by, line, older, max(self._newest, by.version), "")
                    return
        self._inbox.append((follower, stream, update))

    def tick(self) -> None:
        """Goes on with the update in work, or begins with the next; MeshsimError if Envoy has ended."""
        if self._now is None:
            if not self._inbox:
                self.envoy.settled()
                return
            self._now = self._inbox.popleft()
            self._begin(self._now[2])
        if self._now is None or time.monotonic() < self._looked + GLANCE:
            return
        self._looked = time.monotonic()
        try:
            if self.envoy.settled():
                self._end("")
            elif self._looked > self._deadline:
                self._end(f"Envoy has not taken it after {PATIENCE:g} s")
        except RefusedError as error:
            self._end(str(error))
        except OSError as error:
            self._end(UNWRITABLE.format(error.strerror))

    def _begin(self, update: Update) -> None:
        """Writes what an update brings, if Envoy can do that."""
        self._deadline = time.monotonic() + PATIENCE
        try:
            scenario, _ = self._reader.read(update)
        except MessageError as error:
            self._end(str(error))
            return
        if self.callers.isdisjoint(update.nacked) and (words := self._impossible(scenario)):
            self._end(words)
            return
        self._addresses = {each.name: each.address for some in update.endpoints.values() for each in some}
        self._parts[update.part] = update.version
        self._part = update.part
        endpoints = {service: [one.number for one in some] for service, some in update.endpoints.items()}
        configuration = Configuration(scenario, endpoints, update.nacked)
        try:
            self._newest, _ = self.take(configuration, update.version, update.part, self._parts, 0.0)
        except OSError as error:
            self._end(UNWRITABLE.format(error.strerror))
            return
        except Exception as error:  # whatever it is: the mesh goes on
            trouble(f"{OWN_ERROR}: a configuration could not be applied: {error!r}")
            self._end(f"it could not be applied: {error!r}")
            return
        if update.part != CLUSTERS:
            if self.callers.isdisjoint(update.nacked):
                self._reader.take(scenario, update)
            else:
                self.envoy.spoil(scenario)

    def _impossible(self, scenario: Scenario) -> str:
        """What Envoy can't do of a configuration, in words; of the scenario's own that was asked before."""
        return "" if scenario is self._reader.in_force else "; ".join(refused_policies(scenario))

    def _end(self, refused: str) -> None:
        """Says what has become of the update in work."""
        assert self._now is not None, "there is one"
        (follower, stream, update), self._now = self._now, None
        self.joined = self.joined or not refused
        newest = max(self._newest, follower.version)
        self._answer(follower, stream, update, newest, " ".join(refused.split())[:WORD_MOST])

    def find(self, configuration: Configuration, now: float) -> None:
        self.envoy.find(self._addresses)

    def equip(self, scenario: Scenario, now: float) -> None:
        if self._part == CLUSTERS:
            self.envoy.find(self._addresses, scenario)

    def configure(self, scenario: Scenario, now: float) -> None:
        self.envoy.push(scenario, routes_only=self._part == ROUTES)
