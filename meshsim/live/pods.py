"""The cluster of a live mesh: replicas that come and go while it runs, as Kubernetes has them.

    STARTING ──its processes serve, its startup is over, proxy has configuration and certificate──► READY
    READY ──not wanted any more: no endpoint, but it serves──► LEAVING ──its drain is over──► GONE

How many are wanted, and which, is decided by `meshsim.mesh.rollout`, for events of the scenario and for what
is asked of the control plane. One that goes is gone as in an outage: connections are cut. Then its processes
hand over what they have recorded, and exit. This runs in the launcher, so it goes on without a control plane.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf

import numpy as np

from meshsim.errors import MeshsimError
from meshsim.live import Message, commands
from meshsim.live.control.process import places
from meshsim.live.launcher import Launcher, TickClock
from meshsim.live.pod import LivePod, Owner
from meshsim.live.processes import Member, Process, Rows
from meshsim.mesh.rollout import GONE, READY, STARTING, Deployment
from meshsim.scenario.events import on_clock
from meshsim.scenario.fleet import Group
from meshsim.scenario.topology import Replica, Topology


class Cluster(Owner):
    """The replicas of a mesh, of which some come and go."""

    clock: TickClock

    def __init__(self, mesh: Launcher) -> None:
        self.mesh = mesh
        self.of = {}
        self.changes = 0
        self.applied = (0, 0.0)
        self.ordering = False
        self._orders: dict[int, Deployment] = {}
        self._scaled: set[Deployment] = set()  # by orders
        super().__init__(TickClock(), mesh.topology)

    def begin(self) -> None:
        """Scenario time is known."""
        topology = self.mesh.topology
        on_clock(self.clock, self.mesh.scenario.events, lambda _, event: self.changes_by(topology, event))

    def tick(self) -> None:
        """Is called about every 10 ms while the mesh runs."""
        self.clock.advance(self.mesh.now)
        for pod in [pod for pod in self.pods.values() if pod.busy]:
            try:
                pod.tick()
            except MeshsimError as error:
                if not self._give_up(pod, str(error)):
                    raise
        self._look_at_orders()

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
        self.ordering = True
        deployment.scale(order["replicas"], self.mesh.now)
        self.ordering = False

    def forget_orders(self) -> None:
        """The control plane that was asked has died, and whoever asked it knows."""
        self._orders.clear()

    def _look_at_orders(self) -> None:
        """Tells the control plane which orders are done."""
        for order, deployment in list(self._orders.items()):
            pods = deployment.pods
            if len(pods) == deployment.wanted and all(pod.state == READY for pod in pods):
                del self._orders[order]
                names = [self.pods[pod.number].place.name for pod in pods]
                self.mesh.control.tell({"scaled": order, "replicas": names})

    def pod(self, place: Replica, generation: int, state: int) -> LivePod:
        return LivePod(self, place, generation, state)

    def another(self, group: Group) -> Replica:
        self.mesh.topology = Topology(self.mesh.scenario, [*self.mesh.topology.extra, group])
        return self.mesh.topology.replicas[-1]

    def change(self, service: str, numbers: Sequence[int], now: float) -> None:
        super().change(service, numbers, now)
        self.changes += 1
        self.mesh.control.tell({**self._there(), "endpoints": {service: self.endpoints[service]}})

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
        gone = {pod.place.name for pod in self.pods.values() if pod.state == GONE}
        there = self.mesh.listeners.keys() - gone
        admins = {name: self.mesh.listeners[name].admin for name in sorted(there)}
        return {"places": places(found), "admins": admins, **self._there()}

    def rows(self) -> Rows:
        """When each replica was ready, and when gone, s, as a table; empty if all were always there."""
        if all(since == 0.0 and until == inf for _, since, until in self.lives):
            return {}
        columns = zip(("replica", "since", "until"), zip(*self.lives, strict=True), strict=True)
        return {f"lives.{name}": np.array(column) for name, column in columns}

    # ---- processes ----------------------------------------------------------------------------------

    def run_programs(self, limit: float, wait: Callable[[str], object]) -> None:
        """Starts the programs that are there at the start; as `commands.await_all`."""
        pods = [each for each in self.pods.values() if each.place.deployment.live]
        silent = {pod.run_program(): self.mesh.apps[pod.place.name] for pod in pods}
        commands.await_all(silent, self.mesh.pods.serves, limit, wait)

    def heard(self, process: Process, message: Message) -> bool:
        """Hears what a process says, if it is of a replica that comes or goes; whether it is."""
        pod = self.of.get(process)
        if pod is None or not isinstance(process, Member):
            return False
        pod.heard(process, message)
        return True

    def has_rows(self, process: Process) -> bool:
        """Whether a process will hand over rows when the mesh stops; one that has only begun is let go."""
        pod = self.of.get(process)
        if pod is None or not isinstance(process, Member):
            return True
        if pod.state == STARTING:
            process.hang_up()
            return False
        return process not in pod.done

    def ended(self, process: Process) -> bool:
        """A process has ended; whether the mesh can do without it."""
        pod = self.of.get(process)
        if pod is not None and pod.state == STARTING:
            return self._give_up(pod, str(self.mesh.keeper.loss(process)))
        return pod is not None and pod.state == GONE

    def _give_up(self, pod: LivePod, why: str) -> bool:
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
            each.leave(False, self.mesh.now)
        deployment.wanted = len(deployment.pods)
        return True
