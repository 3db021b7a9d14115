"""The process of the control plane: one of a mesh, and the only one that can sign.

It holds what is wanted, sends it to the proxies that follow it, and signs their certificates. When it is
killed the launcher starts another in its place, on the same ports, which goes on from the journal. Its first
act is to push all that is wanted once more.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshsim.errors import MeshsimError
from meshsim.live import Address, Message
from meshsim.live.child import Addresses, Role, Spec
from meshsim.live.clock import LiveClock
from meshsim.live.control.journal import Journal
from meshsim.live.control.memory import Memory
from meshsim.live.control.orders import Order, Orders, changed
from meshsim.live.control.pages import Pages
from meshsim.live.control.server import Streams
from meshsim.live.servers import Listening
from meshsim.live.troubles import trouble
from meshsim.live.wire import Handler
from meshsim.measure.exposition import Metric
from meshsim.measure.exposition import page as exposition
from meshsim.measure.pilot import control_plane_metrics
from meshsim.mesh.clock import Event
from meshsim.mesh.control_plane import Push
from meshsim.mesh.disruption import Disruption
from meshsim.mesh.proxy import proxy_key
from meshsim.scenario import model
from meshsim.scenario.events import ControlPlaneOutage, on_clock
from meshsim.scenario.names import suggestion
from meshsim.scenario.push import Change, control_plane
from meshsim.scenario.topology import Topology

if TYPE_CHECKING:
    from meshsim.live.identity.authority import CertificateAuthority

LOOPBACK = "127.0.0.1"
"""Where it listens, wherever proxies do: nobody from elsewhere has business with it."""


class ControlPlane(Role):
    """The control plane of a mesh.

    The launcher tells it (`Spec.control`, and as the mesh runs) which `proxies` there are, with number and
    hash of the token of each; where replicas are: `places`; who the `endpoints` of each service are; and of
    each replica with a pod, a process in it: `pods`.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        told = spec.control
        scenario = spec.scenario
        self.clock = LiveClock(asyncio.get_event_loop(), ideal=True)
        self.topology = Topology(scenario)
        self.journal = Journal(Path(told["journal"]))
        self.memory = Memory(scenario, self.journal)
        self.plane = control_plane(self.topology, self.clock, self.memory)
        self.memory.resume(self.plane)
        self.takes_over: bool = told["again"]  # from the process before this one
        self.streams = Streams(self.clock, self.plane, self.memory)
        self.admins: dict[str, Address] = {}
        self.pods: dict[str, int] = {}
        self.authority: CertificateAuthority | None = None
        if scenario.mesh.mtls is not None:
            from meshsim.live.identity.authority import CertificateAuthority  # noqa: PLC0415 - an extra

            self.authority = CertificateAuthority(
                scenario, self.clock, self.journal, told["tokens"], spec.seed, told["inclusive"]
            )
        self.target = self.plane.version  # the version that brings all changes until now
        self.orders = Orders(told["secret"], self._do, self.streams.followers.values)
        self.streams.noted = self._noted
        self.streams.behind = self._catch_up
        self.change: tuple[int, int] | None = None  # of endpoints, the last; and the version that brings it
        self._begun = False
        self.following = Listening(Handler(), entrance=self._entrance(), serve=self.streams.protocol)
        self.pages = Listening(Pages(self.report, self.orders, self.admins, self.own_page))
        self.scaling: dict[int, Order] = {}
        self._scalings = 0
        self._told = 0  # the last change of endpoints

    def _entrance(self) -> Any:
        """What secures the streams, where there is mTLS."""
        if self.authority is None:
            return None
        from meshsim.live.tls.entrance import STRICT, Entrance  # noqa: PLC0415 - OpenSSL

        return Entrance(self.authority.tls, lambda: STRICT)

    # ---- a child's life -----------------------------------------------------------------------------

    async def listen(self) -> dict[str, Any]:
        ports = self.spec.control["ports"]
        found: dict[str, Any] = {"host": LOOPBACK, "root": ""}
        found["pages"] = await self.pages.open(LOOPBACK, ports["pages"])
        if self.authority is not None:
            from meshsim.live.identity.signing import pem  # noqa: PLC0415 - an extra

            found["root"] = pem(self.authority.tls.root).decode()
            if not self.takes_over:  # else it would be asked for certificates before it knows the time
                await self.authority.listening.open(LOOPBACK, ports["authority"])
        return found

    async def connect(self, addresses: Addresses) -> None:
        self._learn(addresses.control)
        followers = self.streams.followers
        if self.takes_over:
            for name in self.memory.ledger.following.keys() - followers.keys():
                self.journal.add({"gone": name})
                self.plane.disconnect(self.memory.ledger.following[name])
        else:
            self.journal.add({"follows": list(followers)})
            for follower in followers.values():
                follower.subscription.connected = True

    def start(self, base: float) -> None:
        self.clock.begin(base)
        if self.authority is not None:
            self.authority.begin()

        def changes(number: int, event: model.Event) -> Iterator[Disruption]:
            if event.set and number not in self.memory.done:
                yield ScriptedChange(self, number)
            if event.component == "control_plane" and event.down:
                yield ControlPlaneOutage(self.plane)
            if self.authority is not None:
                yield from self.authority.changes(number, event)

        on_clock(self.clock, self.spec.scenario.events, changes)
        if self.takes_over:
            self.clock.at(self.clock.now(), TakeOver(self), 0)
        self._begun = True
        self.orders.open_up()
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        """Serves proxies from here on."""
        ports = self.spec.control["ports"]
        await self.following.open(LOOPBACK, ports["following"])
        if self.authority is not None and self.takes_over:
            await self.authority.listening.open(LOOPBACK, ports["authority"])

    def hear(self, message: Message) -> None:
        self._learn(message)
        if "endpoints" in message and self._begun:  # else it pushes all when it begins
            self._change()
            self.change = message["change"], self.target
        if "scaled" in message:
            order = self.scaling.pop(message["scaled"], None)
            if order is not None:
                self._scaled(order, message)

    def take_over(self, now: float) -> None:
        """What is wanted may have changed since the process before: all of it is pushed once more."""
        self.target = self.plane.version + 1
        self.change = self._told, self.target
        if self.plane.downs == 0:  # else that is done when it is up again
            self.plane.push(now)

    def _learn(self, message: Message) -> None:
        """What the launcher says of proxies and replicas."""
        self._told = message.get("change", self._told)
        self.memory.learn(message)
        self.pods = message.get("pods", self.pods)
        self.admins.update({name: (host, port) for name, (host, port) in message.get("admins", {}).items()})
        if self.authority is not None:
            self.authority.admit(message.get("tokens", {}))
        for name, told in message.get("proxies", {}).items():
            calls = frozenset(service for caller, service in self.topology.edges if caller == told["caller"])
            follower = self.streams.add(name, calls, told["token"])
            key = proxy_key(self.spec.seed, told["number"])
            follower.subscription = self.plane.subscribe(follower, key, connected=False)
            before = self.memory.ledger.following.get(name)
            if before is not None:
                new = follower.subscription
                new.connected, new.joined, new.version = before.connected, before.joined, before.version
        for name in message.get("gone", ()):
            self.streams.remove(name)
            self.admins.pop(name, None)

    def _noted(self) -> None:
        """Some proxy has answered, or has come or gone."""
        self.orders.noted()
        if self.change is not None:
            change, version = self.change
            if all(each.knows >= version for each in self.streams.followers.values()):
                self.change = None
                self.tell({"in_force": change})

    def _change(self) -> None:
        """Something that is wanted has changed."""
        self.target = self.plane.version + 1
        self.plane.changed(self.clock.now())

    def _catch_up(self, version: int) -> None:
        """A proxy has a version from before the journal was damaged: all get a newer one."""
        now = self.clock.now()
        self.memory.catch_up(self.plane, version, now)
        self.take_over(now)
        self.orders.postpone(self.target)

    # ---- orders -------------------------------------------------------------------------------------

    def _do(self, order: Order, message: Message) -> None:
        """Begins with what is asked for from outside."""
        if order.kind == "set":
            self.memory.change(changed(self.memory.wanted, message.get("set")), self.clock.now())
            self._change()
            order.version = self.target
        else:
            self._scale(order, message)

    def _scale(self, order: Order, message: Message) -> None:
        service, wanted, version = (message.get(name) for name in ("service", "replicas", "version"))
        services = self.spec.scenario.services
        if not isinstance(service, str) or service not in services:
            raise MeshsimError(f"there is no service {service!r}; {suggestion(str(service), services)}")
        if type(wanted) is not int or not 0 <= wanted <= REPLICAS_MOST:
            raise MeshsimError(f"replicas is no number from 0 to {REPLICAS_MOST}")
        versions = list(services[service].deployments())
        if version is None and len(versions) > 1:
            raise MeshsimError(
                f"{service} has versions {', '.join(versions)}; say which, as with --of {versions[0]}"
            )
        if version is not None and version not in versions:
            known = "it has no versions" if versions == [""] else suggestion(str(version), versions)
            raise MeshsimError(f"{service} has no version {version!r}; {known}")
        of = f"{service}/{version}" if version else service
        self.journal.add({"scale": of, "replicas": wanted, "at": self.clock.now()})
        self._scalings += 1
        self.scaling[self._scalings] = order
        order.waits = f"{service} has not got {wanted} replicas that are ready"
        self.tell({
            "scale": {"order": self._scalings, "service": service, "version": version or versions[0],
                      "replicas": wanted}
        })  # fmt: skip

    def _scaled(self, order: Order, message: Message) -> None:
        """The cluster has as many as were wanted, or says why not."""
        if "error" in message:
            if order.over:
                trouble(message["error"])  # nobody else would hear of it
            order.refuse(400, message["error"])
            return
        order.more = {"replicas": message["replicas"]}
        if pods := {name: self.pods[name] for name in message["replicas"] if name in self.pods}:
            order.more["pods"] = pods
        order.version = self.target
        order.look()

    # ---- what is said of it -------------------------------------------------------------------------

    def report(self) -> Message:
        """All that there is to say of it, as ``/status`` says it."""
        found: Message = {
            "scenario": self.spec.scenario.name,
            "pid": os.getpid(),
            "time": self.clock.now(),
            "version": self.plane.version,
            "down": self.plane.downs > 0,
            "proxies": [
                {
                    "name": each.name,
                    "connected": each.stream is not None,
                    "version": each.acked,
                    "nack": None if each.nack is None else {"version": each.nack[0], "error": each.nack[1]},
                }
                for each in self.streams.followers.values()
            ],
            "endpoints": self.memory.endpoints_now(),
            "pods": self.pods,
            "pushes": [
                {
                    "version": push.version,
                    "begun": push.begun,
                    "proxies": push.proxies,
                    "arrived": len(push.arrivals),
                    "nacked": push.nacked,
                    "took": max(push.arrivals) - push.changed if push.arrivals else None,
                }
                for push in self.pushes[-PUSHES_SHOWN:]
            ],
            "streams_refused": dict(self.streams.refused),
        }
        return found if self.authority is None else {**found, "certificates": self.authority.stats()}

    def stats(self) -> Message:
        found: Message = {"version": self.plane.version}
        return found if self.authority is None else {**found, "certificates": self.authority.stats()}

    @property
    def pushes(self) -> list[Push]:
        """Those of the mesh, whichever process began them."""
        return self.plane.pushes[1:]

    def own_page(self) -> bytes:
        """Its own metrics."""
        connected = Metric("pilot_xds", "gauge", "Proxies that are connected.")
        connected.add({}, sum(each.stream is not None for each in self.streams.followers.values()))
        return exposition([*control_plane_metrics(self.pushes), connected])

    def close(self) -> None:
        for listening in (self.following, self.pages):
            listening.close()
        if self.authority is not None:
            self.authority.close()
        self.clock.close()
        self.journal.close()


REPLICAS_MOST = 1000
"""Of a service: each is two processes."""
PUSHES_SHOWN = 20


class TakeOver(Event):
    """The first act of a process that follows another, after the events that were due before."""

    def __init__(self, role: ControlPlane) -> None:
        self.role = role

    def fire(self, step: int, now: float) -> None:
        self.role.take_over(now)


class ScriptedChange(Change):
    """A `set` event of the scenario; the control plane knows which version will bring it."""

    def __init__(self, role: ControlPlane, number: int) -> None:
        super().__init__(role.memory, role.plane, number)
        self.role = role

    def begin(self, now: float) -> None:
        self.role.target = self.role.plane.version + 1
        super().begin(now)
