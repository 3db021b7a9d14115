"""A replica that comes or goes while a live mesh runs: its processes, from their start to their end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from math import inf
from typing import final

from meshsim.errors import MeshsimError
from meshsim.live import Message, commands
from meshsim.live.control.process import places
from meshsim.live.launcher import Launcher
from meshsim.live.ports import free_ports
from meshsim.live.processes import Member, Process
from meshsim.mesh.rollout import GONE, LEAVING, STARTING
from meshsim.scenario.fleet import CONFIGURED, Fleet, Life
from meshsim.scenario.topology import Replica

SERVING_LIMIT = 30.0
"""How long a program may take until it serves, s."""
GRACE = 2.0
"""How long a program may take to end when it is asked to, s."""
ORDERLY_LIMIT = 30.0
"""How long a replica that is ordered away may take until nobody sends to it and it holds nothing, s."""
SERVING = 4
"""The step that its program serves: one more than `meshsim.scenario.fleet` has."""


class Owner(Fleet["LivePod"]):
    """A cluster, as its replicas need it; see `meshsim.live.pods.Cluster`.

    Attributes:
        of: whose each process is, of replicas that come or go.
        changes: of endpoints until now.
        applied: the last of them that is in force everywhere, and since when, monotonic, s.
        ordering: whether what is done now was asked of the control plane.
    """

    mesh: Launcher
    of: dict[Process, LivePod]
    changes: int
    applied: tuple[int, float]
    ordering: bool


@final
class LivePod(Life):
    """A replica, its proxy and its service or program, in the course of its life.

    Attributes:
        program: of the user's own, if it has one.
        done: its processes that have handed over what they have recorded.
        busy: whether it has to be looked at from time to time.
    """

    fleet: Owner

    def __init__(self, fleet: Owner, place: Replica, generation: int = 0, state: int = STARTING) -> None:
        super().__init__(fleet, place, generation, state)
        self.program: Process | None = None
        self.done: set[Process] = set()
        self.busy = False
        self._members: dict[Member, str] = {}
        self._said: dict[str, Message] = {}
        self._ready: set[Member] = set()
        self._deadline = inf
        self._change = 0
        self._leaves = 0.0
        self._known: float | None = None  # since when everybody knows that it leaves
        self._error: MeshsimError | None = None  # why it can't start

    # ---- it comes -----------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        mesh, name = self.fleet.mesh, self.place.name
        proxy = mesh.topology.proxy_of(self.place)
        mesh.control.tell(mesh.control.admit(proxy))
        with self._tries():
            self._add(mesh.proxies.add(name), "proxy")
            if self.place.deployment.live is None:
                self._add(mesh.fork("service", name), "service")
            else:
                self.lacking.add(SERVING)

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
        self.fleet.of[member] = self

    def run_program(self) -> Process:
        """Starts its program."""
        self.program = program = self.fleet.mesh.run_program(self.place)
        self.fleet.of[program] = self
        return program

    def heard(self, member: Member, message: Message) -> None:
        """One of its processes says something."""
        if "rows" in message:
            self.done.add(member)
        if self.state != STARTING or self._error is not None:
            return
        if "listening" in message:
            self._said[self._members[member]] = message["listening"]
            if len(self._said) == len(self._members):
                with self._tries():
                    self._open()
        elif "ready" in message:
            member.send({"start": self.fleet.mesh.base})
            self._ready.add(member)
            if self._ready == self._members.keys():
                self.fire(CONFIGURED, self.fleet.mesh.now)

    def _open(self) -> None:
        """Its processes listen: they are told of the mesh, and the control plane of them."""
        mesh, name = self.fleet.mesh, self.place.name
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
            self.run_program()
            self._deadline = time.monotonic() + SERVING_LIMIT
            self.busy = True

    def tick(self) -> None:
        """Looks after it; a MeshsimError if it can't start, or its program does not serve in time."""
        if self.state == LEAVING:
            self._look_around()
            return
        if self.state == STARTING and self._error is not None:
            self.busy = False
            raise self._error
        program = self.program
        if program is None or program.code is not None:
            self.busy = False
        elif self.state == GONE:
            if time.monotonic() > self._deadline:
                _signal(program, signal.SIGKILL)
                self.busy = False
        elif self.fleet.mesh.pods.serves(program, app := self.fleet.mesh.apps[self.place.name]):
            self.busy = False
            self.fire(SERVING, self.fleet.mesh.now)
        elif time.monotonic() > self._deadline:
            raise commands.silence(program, app, SERVING_LIMIT)

    # ---- it goes ------------------------------------------------------------------------------------

    def drain(self, now: float) -> None:
        """It serves for a while; one that is ordered away till nobody sends to it and it holds nothing."""
        if not self.fleet.ordering:
            super().drain(now)
            return
        self._change = self.fleet.changes
        self._leaves = time.monotonic() + self.place.deployment.drain
        self._deadline = self._leaves + ORDERLY_LIMIT
        self.busy = True

    def _look_around(self) -> None:
        """It goes when all know that it leaves and it holds nothing, or when that takes too long."""
        now, (change, since) = time.monotonic(), self.fleet.applied
        if self._known is None and change >= self._change:
            self._known = since
        known, name = self._known is not None and now >= self._leaves, self.place.name
        if (known and self.fleet.mesh.quiet(name, self._known or 0.0)) or now > self._deadline:
            self.busy = False
            self.go(self.fleet.mesh.now)

    def go(self, now: float) -> None:
        super().go(now)
        mesh, name = self.fleet.mesh, self.place.name
        if self.program is not None and self.program.code is None:
            _signal(self.program, signal.SIGTERM)
            self._deadline = time.monotonic() + GRACE
            self.busy = True
        for member in mesh.members_of(name):
            self.fleet.of[member] = self
            if self.since < inf:
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
