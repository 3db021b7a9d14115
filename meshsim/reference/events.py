"""What the scenario does to the mesh while it runs: slowness, errors, outages, worse links, new policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from meshsim.reference.caller import Caller
from meshsim.reference.certificate import Authority
from meshsim.reference.clock import Steps
from meshsim.reference.control_plane import ControlPlane
from meshsim.reference.link import Link
from meshsim.reference.replica import GONE, Replica
from meshsim.reference.rollout import Deployment
from meshsim.reference.run import Run
from meshsim.scenario.model import Event
from meshsim.scenario.topology import Topology


class Events:
    """The events of a scenario, and what they act on."""

    def __init__(
        self,
        run: Run,
        topology: Topology,
        callers: Sequence[Caller],
        replicas: Mapping[str, Replica],
        links: Mapping[tuple[str, str], Link],
        authority: Authority | None,
    ) -> None:
        self.clock = run.clock
        self.scenario = run.scenario
        self.topology = topology
        self.callers = callers
        self.replicas = replicas
        self.links = links
        self.authority = authority
        there = topology.endpoints_at_start
        self.plane = ControlPlane(run, callers, there)
        versions = dict.fromkeys((replica.service, replica.version) for replica in replicas.values())
        self.deployments = {key: self._deployment(run, *key) for key in versions}
        self.roots: dict[int, int] = {}  # by the event that brought them

    def _deployment(self, run: Run, service: str, version: str) -> Deployment:
        key = (service, version)
        replicas = [each for each in self.replicas.values() if (each.service, each.version) == key]
        return Deployment(run, self.plane, replicas, self._shut)

    def _shut(self, replica: Replica) -> None:
        """A replica is no more."""
        self._take_down(replica, GONE)
        self.plane.disconnect(replica.caller)

    def timeline(self) -> Steps[None]:
        """All events in order of time; at one time ends first, then in order of the file; all else after."""
        due: list[tuple[float, bool, int]] = []
        for number, event in enumerate(self.scenario.events):
            due.append((event.at, True, number))
            if event.lasts is not None and not event.set:
                due.append((event.at + event.lasts, False, number))
            if event.rotate_root and event.overlap > 0.0:
                due.append((event.at + event.overlap, False, number))
        for time, begins, number in sorted(due):
            yield self.clock.at(time, first=True)
            event = self.scenario.events[number]
            if event.set:
                self.plane.set(number)
                continue
            if event.rolls:
                for key in self.topology.rolled(event):
                    self.deployments[key].change(event)
                continue
            if event.component:
                self._act_on_component(event, number, begins=begins)
                continue
            for in_force, value in self._changes(event):
                if begins:
                    in_force[number] = value
                else:
                    del in_force[number]
            if event.down:
                for replica in self._replicas(event):
                    if begins:
                        self._take_down(replica, number)
                    else:
                        replica.come_up(number)

    def _act_on_component(self, event: Event, number: int, *, begins: bool) -> None:
        """The CA or the control plane, which brings the CA, is down or up again; or roots change."""
        if self.authority is not None:
            self._act_on_ca(event, number, begins=begins)
        if event.component == "control_plane" and begins:
            self.plane.go_down(number)
        elif event.component == "control_plane":
            self.plane.come_up(number)

    def _act_on_ca(self, event: Event, number: int, *, begins: bool) -> None:
        """The CA is down or up again, or roots change."""
        ca = self.authority
        assert ca is not None, "there is one"
        if event.rotate_root and begins:
            self.roots[number] = ca.rotate(number, overlap=event.overlap)
        elif event.rotate_root:
            ca.drop(number, self.roots[number])
        elif begins:
            ca.go_down(number)
        else:
            ca.outages.discard(number)

    def _changes(self, event: Event) -> Iterator[tuple[dict[int, float], float]]:
        """What a fault changes while it lasts, each with the event's value."""
        for replica in self._replicas(event):
            if event.slow is not None:
                yield replica.slower, event.slow
            if event.errors is not None:
                yield replica.errors, event.errors
        for (caller, to), link in self.links.items():
            if event.link == f"{caller} -> {to}":
                if event.latency_factor is not None:
                    yield link.slower, event.latency_factor
                if event.loss is not None:
                    yield link.loss, event.loss

    def _take_down(self, replica: Replica, number: int) -> None:
        """All callers lose their connections to a replica, unless it was down already; it loses its work."""
        if not replica.outages:
            for caller in self.callers:
                for (_, service), upstream in caller.upstreams.items():
                    if service == replica.service:
                        upstream.lose(replica)
        replica.go_down(number)

    def _replicas(self, event: Event) -> list[Replica]:
        return [self.replicas[place.name] for place in self.topology.affected_by(event)]
