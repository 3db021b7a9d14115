"""The cluster of a live mesh: replicas that come and go while it runs, as Kubernetes has them.

    STARTING ──its processes serve, its startup is over, proxy has configuration and certificate──► READY
    READY ──not wanted any more: no endpoint, but it serves──► LEAVING ──its drain is over──► GONE

How many are wanted, and which, is decided by `meshsim.mesh.rollout`, for events of the scenario and for what
is asked of the control plane. One that goes is gone as in an outage: connections are cut. Then its processes
hand over what they have recorded, and exit. This runs in the launcher, so it goes on without a control plane.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from math import inf
from typing import cast, final

import numpy as np

from meshsim.live import Message, commands
from meshsim.live.clock import LiveClock
from meshsim.live.control.process import places
from meshsim.live.launcher import Launcher
from meshsim.live.loops import PolledAlarm
from meshsim.live.ports import free_ports
from meshsim.live.processes import Member, Process, Rows
from meshsim.mesh.clock import Event
from meshsim.mesh.disruption import Disruption
from meshsim.mesh.rollout import GONE, READY, STARTING, Body, Deployment, Pod
from meshsim.scenario import model
from meshsim.scenario.events import Rollout, on_clock
from meshsim.scenario.topology import Replica, Topology

SERVING_LIMIT = 30.0
"""How long a program may take until it serves, s."""
GRACE = 2.0
"""How long a program may take to end when it is asked to, s."""
STARTED, DRAINED = 1, 2

Group = tuple[str, str]
"""A service and a version of it."""


class Cluster(Body):
    """The replicas of a mesh, of which some come and go.

    Attributes:
        deployments: by service and version.
        endpoints: of each service, the numbers of the replicas that are ready, in order.
    """

    def __init__(self, mesh: Launcher) -> None:
        self.mesh = mesh
        self.deployments: dict[Group, Deployment] = {}
        self.endpoints: dict[str, tuple[int, ...]] = dict(mesh.topology.endpoints_at_start)
        self.pods: dict[int, LivePod] = {}
        self._foreseen: dict[Deployment, list[Replica]] = {}
        self._programs: dict[str, Process] = {}
        self._of: dict[Process, LivePod] = {}
        self._orders: dict[int, Deployment] = {}
        self._alarm = PolledAlarm(lambda: None)
        self.clock = LiveClock(
            cast(asyncio.AbstractEventLoop, None), ideal=False, alarm=lambda loop, ring: self._new_alarm(ring)
        )
        groups: dict[Group, list[Replica]] = {}
        for place in mesh.topology.replicas:
            groups.setdefault((place.service, place.version), []).append(place)
        for group, members in groups.items():
            present = [place for place in members if not place.added]
            pods = [Pod(place.number, state=READY) for place in present]
            deployment = self.deployments[group] = Deployment(self, pods)
            self._foreseen[deployment] = [place for place in members if place.added]
            for place, pod in zip(present, pods, strict=True):
                live = self.pods[place.number] = LivePod(self, deployment, place, pod)
                live.since = 0.0

    def _new_alarm(self, ring: Callable[[], None]) -> PolledAlarm:
        self._alarm = PolledAlarm(ring)
        return self._alarm

    def begin(self, base: float) -> None:
        """Scenario time 0 is known."""
        self.clock.begin(base)

        def changes(number: int, event: model.Event) -> Iterator[Disruption]:
            if event.rolls:
                deployments = [self.deployments[group] for group in self.mesh.topology.rolled(event)]
                yield Rollout(deployments, event.replicas, event.restart)

        on_clock(self.clock, self.mesh.scenario.events, changes)

    def tick(self) -> None:
        """Is called about every 10 ms while the mesh runs."""
        self._alarm.look()
        for pod in [pod for pod in self.pods.values() if pod.busy]:
            pod.tick()

    # ---- what is wanted -----------------------------------------------------------------------------

    def scale(self, order: Message) -> None:
        """The control plane was asked for so many replicas of a service."""
        deployment = self.deployments[order["service"], order["version"]]
        self._orders[order["order"]] = deployment
        deployment.scale(order["replicas"], self.clock.now())
        self.look_at_orders()

    def forget_orders(self) -> None:
        """The control plane that was asked has died, and whoever asked it knows."""
        self._orders.clear()

    def look_at_orders(self) -> None:
        """Tells the control plane which orders are done."""
        for order, deployment in list(self._orders.items()):
            pods = deployment.pods
            if len(pods) == deployment.wanted and all(pod.state == READY for pod in pods):
                del self._orders[order]
                names = [self.pods[pod.number].place.name for pod in pods]
                self.mesh.control.tell({"scaled": order, "replicas": names})

    def start(self, deployment: Deployment, generation: int, now: float) -> Pod:
        foreseen = self._foreseen[deployment]
        if foreseen:
            place = foreseen.pop(0)
        else:
            (group,) = (group for group, each in self.deployments.items() if each is deployment)
            self.mesh.topology = Topology(self.mesh.scenario, [*self.mesh.topology.extra, group])
            place = self.mesh.topology.replicas[-1]
        pod = Pod(place.number, generation)
        live = self.pods[place.number] = LivePod(self, deployment, place, pod)
        live.begin(now)
        return pod

    def leave(self, pod: Pod, was_ready: bool, now: float) -> None:
        self.pods[pod.number].leave(was_ready, now)

    def change(self, service: str, numbers: tuple[int, ...]) -> None:
        """Other replicas are the endpoints of a service from now on."""
        self.endpoints[service] = tuple(sorted(numbers))
        self.mesh.control.tell({"endpoints": self.endpoints})

    def described(self) -> Message:
        """What the control plane has to know of replicas, and of proxies' pages."""
        reached = self.mesh.reached_at()
        found = [
            (place, reached[place.name]) for place in self.mesh.topology.replicas if place.name in reached
        ]
        admins = {name: listeners.admin for name, listeners in self.mesh.listeners.items()}
        return {"places": places(found), "admins": admins, "endpoints": self.endpoints}

    def rows(self) -> Rows:
        """When each replica was ready, and when gone, s, as a table; empty if all were always there."""
        lives = [(number, pod.since, pod.until) for number, pod in self.pods.items() if pod.since < inf]
        if all(since == 0.0 and until == inf for _, since, until in lives):
            return {}
        columns = zip(("replica", "since", "until"), zip(*lives, strict=True), strict=True)
        return {f"lives.{name}": np.array(column) for name, column in columns}

    # ---- processes ----------------------------------------------------------------------------------

    def note_program(self, place: Replica, program: Process) -> Process:
        """Takes note of a program that was there at the start."""
        self._programs[place.name] = program
        self._of[program] = self.pods[place.number]
        return program

    def adopt(self, pod: LivePod, process: Process) -> None:
        """Takes note of a process of a replica that has come."""
        self._of[process] = pod

    def program(self, name: str) -> Process | None:
        """The program of a replica, if it has one that runs."""
        return self._programs.get(name)

    def heard(self, process: Process, message: Message) -> bool:
        """Hears what a process says, if it is of a replica that comes or goes; whether it is."""
        pod = self._of.get(process)
        if pod is None or not isinstance(process, Member):
            return False
        pod.heard(process, message)
        return True

    def has_rows(self, process: Process) -> bool:
        """Whether a process will hand over rows when the mesh stops; one that has only begun is let go."""
        pod = self._of.get(process)
        if pod is None or not isinstance(process, Member):
            return True
        if pod.pod.state == STARTING:
            process.hang_up()
            return False
        return process not in pod.done

    def ended(self, process: Process) -> bool:
        """A process has ended; whether the mesh can do without it."""
        pod = self._of.get(process)
        if pod is not None and pod.pod.state == STARTING:
            return self.give_up(pod, str(self.mesh.keeper.loss(process)))
        return pod is not None and pod.pod.state == GONE

    def give_up(self, pod: LivePod, why: str) -> bool:
        """A replica can't start. Whoever has ordered it is told; whether somebody has: else the mesh ends."""
        orders = [order for order, each in self._orders.items() if each is pod.deployment]
        for order in orders:
            del self._orders[order]
            self.mesh.control.tell({"scaled": order, "error": why})
        if orders:
            pod.deployment.pods.remove(pod.pod)
            pod.deployment.wanted = len(pod.deployment.pods)
            pod.leave(False, self.clock.now())
        return bool(orders)


@final
class LivePod(Event):
    """A replica, its proxy and its service or program, in the course of its life.

    Attributes:
        done: its processes that have handed over what they have recorded.
        busy: whether it has to be looked at from time to time.
        since, until: when it was ready, and when it was gone, s; inf if it never was.
    """

    def __init__(self, cluster: Cluster, deployment: Deployment, place: Replica, pod: Pod) -> None:
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

    # ---- it comes -----------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Starts its processes."""
        mesh, name = self.cluster.mesh, self.place.name
        proxy = mesh.topology.proxy_of(self.place)
        mesh.control.tell(mesh.control.admit(proxy))
        self._add(mesh.proxies.add(name), "proxy")
        if self.place.deployment.live is None:
            self._add(mesh.fork("service", name), "service")
            self._serves = True
        self.cluster.clock.at(now + self.place.deployment.startup, self, STARTED)

    def _add(self, member: Member, role: str) -> None:
        self._members[member] = role
        self.cluster.adopt(self, member)

    def heard(self, member: Member, message: Message) -> None:
        """One of its processes says something."""
        if "rows" in message:
            self.done.add(member)
        if self.pod.state != STARTING:
            return
        if "listening" in message:
            self._said[self._members[member]] = message["listening"]
            if len(self._said) == len(self._members):
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
        program, app = self.cluster.program(self.place.name), self.cluster.mesh.apps[self.place.name]
        if program is None or program.code is not None:
            self.busy = False
        elif self.pod.state == GONE:
            if time.monotonic() > self._deadline:
                _signal(program, signal.SIGKILL)
                self.busy = False
        elif self.cluster.mesh.pods.serves(program, app):
            self.busy = False
            self._serves = True
            self._look()
        elif time.monotonic() > self._deadline:
            error = commands.silence(program, app, SERVING_LIMIT)
            if not self.cluster.give_up(self, str(error)):
                raise error

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

    def leave(self, was_ready: bool, now: float) -> None:
        """It is not wanted any more."""
        drain = self.place.deployment.drain
        if was_ready:
            service = self.place.service
            numbers = self.cluster.endpoints[service]
            self.cluster.change(service, tuple(each for each in numbers if each != self.place.number))
        if was_ready and drain > 0.0:
            self.cluster.clock.at(now + drain, self, DRAINED)
        else:
            self._go(was_ready)

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
                member.hang_up()
        mesh.proxies.remove(name)
        mesh.control.tell(mesh.control.dismiss(name))


def _signal(program: Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, number)
