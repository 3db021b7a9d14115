"""The cluster of a live mesh: replicas that come and go while it runs, as Kubernetes has them.

    STARTING ──its processes serve, its startup is over, proxy has configuration and certificate──► READY
    READY ──not wanted any more: no endpoint, but it serves──► LEAVING ──its drain is over──► GONE

How many are wanted, and which, is decided by `meshsim.mesh.rollout`, for events of the scenario and for what
is asked of the control plane. One that goes is gone as in an outage: connections are cut. Then its processes
hand over what they have recorded, and exit. This runs in the launcher, so it goes on without a control plane.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from math import inf
from typing import cast

import numpy as np

from meshsim.live import Message, commands
from meshsim.live.clock import LiveClock
from meshsim.live.control.process import places
from meshsim.live.launcher import Launcher
from meshsim.live.loops import PolledAlarm
from meshsim.live.pod import LivePod
from meshsim.live.processes import Member, Process, Rows
from meshsim.mesh.disruption import Disruption
from meshsim.mesh.rollout import GONE, READY, STARTING, Body, Deployment, Pod
from meshsim.scenario import model
from meshsim.scenario.events import Rollout, on_clock
from meshsim.scenario.topology import Replica, Topology

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
        self._scaled: set[Deployment] = set()  # by orders
        self._ordering = False  # what is done now was asked of the control plane
        self.changes = 0  # of endpoints; and the last that is in force everywhere, since when, s
        self.applied = (0, 0.0)
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

    def asked(self, message: Message) -> None:
        """The control plane says what was asked of it, and what is in force."""
        if "scale" in message:
            self.scale(message["scale"])
        elif "in_force" in message:
            self.applied = message["in_force"], time.monotonic()

    def scale(self, order: Message) -> None:
        """The control plane was asked for so many replicas of a service."""
        deployment = self.deployments[order["service"], order["version"]]
        self._orders[order["order"]] = deployment
        self._scaled.add(deployment)
        self._ordering = True
        deployment.scale(order["replicas"], self.clock.now())
        self._ordering = False
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
        self.pods[pod.number].leave(was_ready, now, orderly=self._ordering)

    def change(self, service: str, numbers: tuple[int, ...]) -> None:
        """Other replicas are the endpoints of a service from now on."""
        self.endpoints[service] = tuple(sorted(numbers))
        self.changes += 1
        self.mesh.control.tell(self._there())

    def _there(self) -> Message:
        """Who the endpoints are by now, and where pods are: see `PodPlan.inside`."""
        pods = self.mesh.pods.inside(self.mesh.keeper.processes)
        return {"endpoints": self.endpoints, "change": self.changes, "pods": pods}

    def described(self) -> Message:
        """What the control plane has to know of replicas, and of proxies' pages."""
        reached = self.mesh.reached_at()
        found = [
            (place, reached[place.name]) for place in self.mesh.topology.replicas if place.name in reached
        ]
        admins = {name: listeners.admin for name, listeners in self.mesh.listeners.items()}
        return {"places": places(found), "admins": admins, **self._there()}

    def rows(self) -> Rows:
        """When each replica was ready, and when gone, s, as a table; empty if all were always there."""
        lives = [(number, pod.since, pod.until) for number, pod in self.pods.items() if pod.since < inf]
        if all(since == 0.0 and until == inf for _, since, until in lives):
            return {}
        columns = zip(("replica", "since", "until"), zip(*lives, strict=True), strict=True)
        return {f"lives.{name}": np.array(column) for name, column in columns}

    # ---- processes ----------------------------------------------------------------------------------

    def run_programs(self, limit: float, wait: Callable[[str], object]) -> None:
        """Starts the programs that are there at the start; as `commands.await_all`."""
        mesh = self.mesh
        places = [each for each in mesh.topology.replicas if each.deployment.live and not each.added]
        silent = {self.note_program(each, mesh.run_program(each)): mesh.apps[each.name] for each in places}
        commands.await_all(silent, mesh.pods.serves, limit, wait)

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
        """A replica can't start: no more are wanted than are ready, and whoever has ordered it is told.

        Returns whether it may have been ordered: else the mesh ends.
        """
        deployment = pod.deployment
        if deployment not in self._scaled:
            return False
        orders = [order for order, each in self._orders.items() if each is deployment]
        for order in orders:
            del self._orders[order]
            self.mesh.control.tell({"scaled": order, "error": why})
        if not orders:  # whoever asked for it has not waited
            self.mesh.troubles[f"the replica {pod.place.name}"] = {why.partition("\n")[0]: 1}
        for each in [each for each in deployment.pods if each.state == STARTING]:  # they would fail likewise
            deployment.pods.remove(each)
            self.pods[each.number].leave(False, self.clock.now(), orderly=False)
        deployment.wanted = len(deployment.pods)
        return True
