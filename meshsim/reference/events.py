"""What the scenario does to the mesh while it runs: slowness, errors, outages, worse links, new policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshsim.random import PUSH, derive
from meshsim.reference.caller import Caller
from meshsim.reference.clock import Steps
from meshsim.reference.link import Link
from meshsim.reference.replica import Replica
from meshsim.scenario.model import Event, Scenario

if TYPE_CHECKING:
    from meshsim.reference.world import World


def timeline(world: World) -> Steps[None]:
    """All events in order of time; at one time ends first, then in order of the file; all else after."""
    due: list[tuple[float, bool, int]] = []
    for number, event in enumerate(world.scenario.events):
        due.append((event.at, True, number))
        if event.lasts is not None and not event.set:
            due.append((event.at + event.lasts, False, number))
    for time, begins, number in sorted(due):
        yield world.clock.at(time, first=True)
        event = world.scenario.events[number]
        if event.set:
            push(world, number)
        elif begins:
            begin(world, number, event)
        else:
            end(world, number, event)


def begin(world: World, number: int, event: Event) -> None:
    """A fault begins."""
    for replica in _replicas(world, event):
        if event.slow is not None:
            replica.slower.begin(number, event.slow)
        if event.errors is not None:
            replica.errors.begin(number, event.errors)
        if event.down:
            if not replica.outages:
                _disconnect(world, replica)
            replica.go_down(number)
    for link in _links(world, event):
        if event.latency_factor is not None:
            link.slower.begin(number, event.latency_factor)
        if event.loss is not None:
            link.loss.begin(number, event.loss)


def end(world: World, number: int, event: Event) -> None:
    """A fault is over."""
    for replica in _replicas(world, event):
        replica.slower.end(number)
        replica.errors.end(number)
        replica.come_up(number)
    for link in _links(world, event):
        link.slower.end(number)
        link.loss.end(number)


def _disconnect(world: World, replica: Replica) -> None:
    """All callers lose their connections to a replica."""
    for caller in world.callers:
        if replica.caller.service in caller.upstreams:
            caller.upstreams[replica.caller.service].lose(replica)


def push(world: World, number: int) -> None:
    """The control plane sends new policies; they reach each proxy in its own time, some at once."""
    policies = world.scenario.policies_after(number)
    delay = world.scenario.mesh.push_delay.build()
    for caller in world.callers:
        wait = delay.draw(derive(caller.key, number), PUSH)
        version = (world.clock.now, number)
        if wait == 0.0:
            _receive(caller, policies, version)
        else:
            world.clock.process(_deliver(world, caller, policies, version, wait))


def _deliver(
    world: World, caller: Caller, policies: Scenario, version: tuple[float, int], wait: float
) -> Steps[None]:
    yield world.clock.timeout(wait)
    _receive(caller, policies, version)


def _receive(caller: Caller, policies: Scenario, version: tuple[float, int]) -> None:
    """A proxy takes what is newer than what it has; a push that was overtaken comes too late."""
    if version > caller.version:
        caller.version = version
        caller.push(policies)


def _replicas(world: World, event: Event) -> list[Replica]:
    return [
        replica
        for name, replica in world.replicas.items()
        if event.replica == name or event.service == replica.caller.service
    ]


def _links(world: World, event: Event) -> list[Link]:
    return [link for (caller, service), link in world.links.items() if event.link == f"{caller} -> {service}"]
