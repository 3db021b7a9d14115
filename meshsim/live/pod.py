"""A replica that comes or goes while a live mesh runs: its processes, from their start to their end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from math import inf
from typing import Protocol, final

from meshsim.errors import MeshsimError
from meshsim.live import Message, commands
from meshsim.live.clock import LiveClock
from meshsim.live.control.process import places
from meshsim.live.launcher import Launcher
from meshsim.live.ports import free_ports
from meshsim.live.processes import Member, Process
from meshsim.mesh.clock import Event
from meshsim.mesh.rollout import GONE, LEAVING, STARTING, Deployment, Pod
from meshsim.scenario.topology import Replica

SERVING_LIMIT = 30.0
"""How long a program may take until it serves, s."""
GRACE = 2.0
"""How long a program may take to end when it is asked to, s."""
ORDERLY_LIMIT = 30.0
"""How long a replica that is ordered away may take until nobody sends to it and it holds nothing, s."""
STARTED, DRAINED = 1, 2


class Owner(Protocol):
    """A cluster, as its replicas need it; see `meshsim.live.pods.Cluster`."""

    mesh: Launcher
    clock: LiveClock
    endpoints: dict[str, tuple[int, ...]]
    changes: int
    applied: tuple[int, float]

    def change(self, service: str, numbers: tuple[int, ...]) -> None:
        """Other replicas are the endpoints of a service."""

    def adopt(self, pod: LivePod, process: Process) -> None:
        """Takes note of a process."""

    def note_program(self, place: Replica, program: Process) -> Process:
        """Takes note of a program."""

    def program(self, name: str) -> Process | None:
        """The program of a replica."""

    def give_up(self, pod: LivePod, why: str) -> bool:
        """A replica can't start; whether the mesh goes on."""

    def look_at_orders(self) -> None:
        """Something that was ordered may be done."""


@final
class LivePod(Event):
    """A replica, its proxy and its service or program, in the course of its life.

    Attributes:
        done: its processes that have handed over what they have recorded.
        busy: whether it has to be looked at from time to time.
        since, until: when it was ready, and when it was gone, s; inf if it never was.
    """

    def __init__(self, cluster: Owner, deployment: Deployment, place: Replica, pod: Pod) -> None:
        self.cluster = cluster
        self.deployment = deployment
        self.place = place
        self.pod = pod
        self.done: set[Process] = set()
        self.busy = False
        self.since = inf
        self.until = inf
        self._members: dict[Member, str] = {}
        self._said: dict[str, Message] = {}
        self._ready: set[Member] = set()
        self._grown = False  # its startup is over
        self._serves = False
        self._deadline = inf
        self._change = 0
        self._leaves = 0.0
        self._known: float | None = None  # since when everybody knows that it leaves
        self._error: MeshsimError | None = None  # why it can't start

    # ---- it comes -----------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Starts its processes."""
        mesh, name = self.cluster.mesh, self.place.name
        proxy = mesh.topology.proxy_of(self.place)
        mesh.control.tell(mesh.control.admit(proxy))
        with self._tries():
            self._add(mesh.proxies.add(name), "proxy")
            if self.place.deployment.live is None:
                self._add(mesh.fork("service", name), "service")
                self._serves = True
        self.cluster.clock.at(now + self.place.deployment.startup, self, STARTED)

    @contextlib.contextmanager
    def _tries(self) -> Iterator[None]:
        """What can't be started is no end of the mesh where it was ordered: the next `tick` decides."""
        try:
            yield
        except MeshsimError as error:
            self._error, self.busy = error, True
        except OSError as error:
            why = f"the replica {self.place.name} can't be started: {error.strerror}"
            self._error, self.busy = MeshsimError(why), True

    def _add(self, member: Member, role: str) -> None:
        self._members[member] = role
        self.cluster.adopt(self, member)

    def heard(self, member: Member, message: Message) -> None:
        """One of its processes says something."""
        if "rows" in message:
            self.done.add(member)
        if self.pod.state != STARTING or self._error is not None:
            return
        if "listening" in message:
            self._said[self._members[member]] = message["listening"]
            if len(self._said) == len(self._members):
                with self._tries():
                    self._open()
        elif "ready" in message:
            member.send({"start": self.cluster.mesh.base})
            self._ready.add(member)
            self._look()

    def _open(self) -> None:
        """Its processes listen: they are told of the mesh, and the control plane of them."""
        mesh, name = self.cluster.mesh, self.place.name
        mesh.listeners[name] = mesh.proxies.opened(name, self._said["proxy"])
        said = self._said.get("service")
        host = mesh.listeners[name].outbound[0]
        port = free_ports(host, 1)[0] if said is None else said["port"]
        mesh.apps[name] = mesh.pods.app(name, (host, port))
        mesh.control.tell({
            "places": places([(self.place, mesh.reached_at()[name])]),
            "admins": {name: mesh.listeners[name].admin},
        })  # fmt: skip
        for member, role in self._members.items():
            member.send({**mesh.addresses(role, name), "base": mesh.base})
        if said is None:
            program = self.cluster.note_program(self.place, mesh.run_program(self.place))
            self._of_program(program)

    def _of_program(self, program: Process) -> None:
        self.cluster.adopt(self, program)
        self._deadline = time.monotonic() + SERVING_LIMIT
        self.busy = True

    def tick(self) -> None:
        """Looks after its program."""
        if self.pod.state == LEAVING:
            self._look_around()
            return
        if self.pod.state == STARTING and self._error is not None:
            self.busy = False
            if not self.cluster.give_up(self, str(self._error)):
                raise self._error
            return
        program = self.cluster.program(self.place.name)
        if program is None or program.code is not None:
            self.busy = False
        elif self.pod.state == GONE:
            if time.monotonic() > self._deadline:
                _signal(program, signal.SIGKILL)
                self.busy = False
        elif self.cluster.mesh.pods.serves(program, app := self.cluster.mesh.apps[self.place.name]):
            self.busy = False
            self._serves = True
            self._look()
        elif time.monotonic() > self._deadline:
            self._error = commands.silence(program, app, SERVING_LIMIT)

    def fire(self, step: int, now: float) -> None:
        if step == DRAINED:
            self._go()
        elif self.pod.state == STARTING:
            self._grown = True
            self._look()

    def _look(self) -> None:
        """It is ready, if all of it is."""
        if (
            self.pod.state == STARTING
            and self._grown
            and self._serves
            and self._ready == self._members.keys()
        ):
            service = self.place.service
            self.since = self.cluster.clock.now()
            self.cluster.change(service, (*self.cluster.endpoints[service], self.place.number))
            self.deployment.ready(self.pod, self.since)
            self.cluster.look_at_orders()

    # ---- it goes ------------------------------------------------------------------------------------

    def leave(self, was_ready: bool, now: float, *, orderly: bool) -> None:
        """It is not wanted any more; an `orderly` one serves till nobody sends to it and it holds nothing."""
        drain = self.place.deployment.drain
        if was_ready:
            service = self.place.service
            numbers = self.cluster.endpoints[service]
            self.cluster.change(service, tuple(each for each in numbers if each != self.place.number))
        if was_ready and orderly:
            self._change = self.cluster.changes
            self._leaves = time.monotonic() + drain
            self._deadline = self._leaves + ORDERLY_LIMIT
            self.busy = True
        elif was_ready and drain > 0.0:
            self.cluster.clock.at(now + drain, self, DRAINED)
        else:
            self._go(was_ready)

    def _look_around(self) -> None:
        """It goes when all know that it leaves and it holds nothing, or when that takes too long."""
        now, (change, since) = time.monotonic(), self.cluster.applied
        if self._known is None and change >= self._change:
            self._known = since
        known, name = self._known is not None and now >= self._leaves, self.place.name
        if (known and self.cluster.mesh.quiet(name, self._known or 0.0)) or now > self._deadline:
            self.busy = False
            self._go()

    def _go(self, hands_over: bool = True) -> None:
        """It is gone, with all that it holds."""
        mesh, name = self.cluster.mesh, self.place.name
        self.pod.state = GONE
        self.until = self.cluster.clock.now()
        program = self.cluster.program(name)
        if program is not None and program.code is None:
            _signal(program, signal.SIGTERM)
            self._deadline = time.monotonic() + GRACE
            self.busy = True
        for member in mesh.members_of(name):
            self.cluster.adopt(self, member)
            if hands_over:
                member.send({"down": True})
                member.send({"stop": True})
            else:
                self.done.add(member)
                member.hang_up()
        mesh.proxies.remove(name)
        mesh.control.tell(mesh.control.dismiss(name))


def _signal(program: Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, number)
