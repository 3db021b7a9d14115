"""What the control plane knows of its mesh, and publishes: a `Publisher` that outlives its process."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import Any

from meshsim.live import Message
from meshsim.live.control.journal import Journal
from meshsim.live.control.ledger import Ledger
from meshsim.live.control.messages import Endpoint, Endpoints, Update
from meshsim.mesh.control_plane import ControlPlane, Push
from meshsim.scenario.keys import push
from meshsim.scenario.model import Event, Scenario
from meshsim.scenario.push import Configuration, Publisher
from meshsim.scenario.topology import Topology
from meshsim.scenario.traffic import Refused, refused_after


class Memory(Publisher):
    """What is wanted of a mesh, and where its replicas are.

    Each version, each event of the scenario that has set something and each change from outside is written
    down, and is there again for the process that takes over.

    Attributes:
        places: where each replica is, or was, by number.
        done: numbers of the scenario's events that have set what they set.
    """

    def __init__(self, scenario: Scenario, journal: Journal) -> None:
        self.journal = journal
        self.places: dict[int, Endpoint] = {}
        self.done: set[int] = set()
        self.ledger = Ledger(journal.facts)
        self._plane: ControlPlane | None = None  # without one, what is published is in the journal
        self._refused: list[Refused] = []
        self._config = scenario, scenario.pushable()  # the last that was made, and of what
        self._applied: list[Event] = []  # by time
        super().__init__(scenario, Topology(scenario).endpoints_at_start)
        for fact in journal.facts:
            if "set" in fact:
                self._change(fact["set"], fact["at"])
            elif "event" in fact:
                self.done.add(fact["event"])
                self._apply(scenario.events[fact["event"]])

    def resume(self, plane: ControlPlane) -> None:
        """Has a new control plane go on with the version of the one before it."""
        plane.pushes = self.ledger.pushes
        plane.version = len(plane.pushes) - 1
        self._plane = plane

    def catch_up(self, plane: ControlPlane, newest: int, now: float) -> None:
        """Has a control plane go on behind a version that a process before it made, and it does not know."""
        self.journal.add({"version": newest, "changed": now, "begun": now})
        proxies = sum(each.connected for each in plane.subscriptions)
        plane.pushes += [Push(each, now, now, proxies) for each in range(plane.version + 1, newest + 1)]
        plane.version = newest

    def publish(self, version: int) -> Configuration:
        if self._plane is not None:
            push = self._plane.pushes[version]
            self.journal.add({"version": version, "changed": push.changed, "begun": push.begun})
        return super().publish(version)

    def set(self, number: int) -> None:
        self.journal.add({"event": number})
        self.done.add(number)
        self._apply(self.scenario.events[number])

    def change(self, settings: Mapping[str, Any], now: float) -> None:
        """What is set from outside is wanted from now on; a MeshsimError where that can't be written down."""
        self.journal.insist({"set": settings, "at": now})
        self._change(settings, now)

    def _change(self, settings: Mapping[str, Any], at: float) -> None:
        self._apply(Event.model_validate({"at": "0s", "set": settings}).model_copy(update={"at": at}))

    def _apply(self, event: Event) -> None:
        """What an event sets is wanted too. A late one takes back nothing that was set since."""
        insort(self._applied, event, key=lambda each: each.at)
        if self._applied[-1] is event:
            self._add(event)
        else:
            self.wanted, self._refused = self.scenario, []
            for each in self._applied:
                self._add(each)

    def _add(self, event: Event) -> None:
        config = self.wanted.pushable()
        push(config, event.set)
        self.wanted = self.wanted.with_pushed(config)
        self._refused = refused_after(self._refused, event)
        self.nacked = frozenset(service for _, services in self._refused for service in services)

    # Where replicas are

    def learn(self, message: Message) -> None:
        """What the launcher says of replicas: `places` of new ones, `endpoints` of some services."""
        self.places |= {place["number"]: Endpoint.of(place) for place in message.get("places", ())}
        if "endpoints" in message:
            self.endpoints = {**self.endpoints, **message["endpoints"]}

    def update(
        self, version: int, content: Configuration, part: int, nonce: str, services: frozenset[str]
    ) -> Update:
        """A version, with its content, for a proxy that calls some services."""
        endpoints: Endpoints = {
            service: [self.places[number] for number in content.endpoints[service]]
            for service in sorted(services)
        }
        if self._config[0] is not content.scenario:
            self._config = content.scenario, content.scenario.pushable()
        return Update(version, part, nonce, self._config[1], content.nacked, endpoints)

    def endpoints_now(self) -> dict[str, list[str]]:
        """The names of the endpoints of each service."""
        return {
            service: [self.places[number].name for number in some if number in self.places]
            for service, some in self.endpoints.items()
        }
