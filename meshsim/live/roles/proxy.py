"""The process of one sidecar proxy: its listeners, its routes, and the events that affect them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from meshsim import random
from meshsim.live import Message
from meshsim.live.child import Addresses, Role, Spec
from meshsim.live.clock import LiveClock
from meshsim.live.control.client import Follower
from meshsim.live.control.followed import Followed
from meshsim.live.pages import page_proxy, pages
from meshsim.live.proxy.access import AccessLog
from meshsim.live.proxy.admin import Admin
from meshsim.live.proxy.delivery import ProxyTransport
from meshsim.live.proxy.exchange import ExchangeContext
from meshsim.live.proxy.ledger import Ledger
from meshsim.live.proxy.listener import Listener
from meshsim.live.proxy.metrics import proxy_metrics
from meshsim.live.proxy.pairing import Pairing
from meshsim.live.proxy.route import ListenerRoute, Passed, Steps
from meshsim.live.proxy.series import Series
from meshsim.live.proxy.visits import ServerSpans
from meshsim.live.servers import Listening, schedule_outages
from meshsim.live.spans import SpanFeed
from meshsim.live.stats import EdgeCounts, edge_report
from meshsim.measure.exposition import Metric
from meshsim.measure.istio import DESTINATION, SOURCE, UNKNOWN
from meshsim.mesh import proxy as mesh
from meshsim.mesh.cluster import Cluster
from meshsim.mesh.connection import NOT_ACCEPTED
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.station import Station
from meshsim.scenario import model
from meshsim.scenario.events import schedule_events
from meshsim.scenario.machines import ConfiguredProxy, ConfiguredRoute, ConfiguredUpstream
from meshsim.scenario.parts import link
from meshsim.scenario.topology import Replica, Topology

if TYPE_CHECKING:
    from meshsim.live.identity.proxy import ProxyIdentity
    from meshsim.live.intercept.sidecar import PodNetwork
    from meshsim.live.tls.connect import Secured
    from meshsim.live.tls.context import Tls
    from meshsim.live.tls.entrance import Entrance

APP = "app"
"""The name of a proxy's own application, as its inbound route knows it."""


class Proxy(Role):
    """One sidecar: what callers of its replica reach, and what that (or the client) calls through."""

    feed: SpanFeed

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        scenario = spec.scenario
        loop = asyncio.get_event_loop()
        self.clock = LiveClock(loop, ideal=False)
        self.tls: Tls | None = None  # credentials come later
        self.identity: ProxyIdentity | None = None
        self.topology = Topology(scenario, spec.extra)
        self.own = self.topology.proxy(spec.id)
        self.follower: Follower | None = None
        self.go_down: Callable[[], None] = lambda: None
        self.place = next(iter(self.own.replicas), None)
        if self.own.identified:
            from meshsim.live.tls.context import Tls  # noqa: PLC0415 - OpenSSL

            self.tls = Tls()
        self.caller = model.CLIENT if self.place is None else self.place.service
        self.scripts = {} if self.place is None else _scripts(scenario, self.place)
        command = self.place is not None and self.place.deployment.live is not None
        pairing = Pairing() if command else None
        self.ledger = Ledger(scenario.duration, command) if spec.keep else None
        self.recorder: Recorder = Recorder() if self.ledger is None else self.ledger.recorder
        self.feed = SpanFeed(kept=spec.keep, wanted=spec.spans)
        self.tracer = self.feed.tracer
        self.unseen = SpanFeed(kept=False, wanted=False)  # of calls of its replica: that has a server span
        self.log = None if spec.access_log is None else AccessLog(spec.access_log, loop)
        sampling = scenario.tracing.sampling if spec.keep or spec.spans else 0.0
        self.shared = ExchangeContext(
            self.clock, self.log, self.ledger, pairing, self._server_spans(), sampling
        )
        self.pod = self._pod_network() if spec.services else None
        self.routes: dict[str, ListenerRoute] = {}
        self.inward: ListenerRoute | None = None
        self.addresses: dict[str, tuple[str, int]] = {}
        self.unrouted = Series(SOURCE, self.caller, self._version, UNKNOWN, UNKNOWN)
        self._build_outbound()
        if self.place is not None and self.own.in_path:
            self.inward = self._build_inbound(self.place)
        inward = [] if self.inward is None else [self.inward]
        self.series = [*(route.series for route in [*self.routes.values(), *inward]), self.unrouted]
        self.admin = Admin(self.metrics, self.stats)
        self.listening: dict[str, Listening] = {}

    # ---- routes -------------------------------------------------------------------------------------

    @property
    def _version(self) -> str:
        return "unknown" if self.place is None else self.place.version or "v1"

    def _server_spans(self) -> ServerSpans:
        """Those of its replica that it keeps itself."""
        if self.place is None:
            return ServerSpans(self.tracer, -1, [""])
        return ServerSpans(self.tracer, self.place.number, self.topology.endpoints[self.place.service])

    def _build_outbound(self) -> None:
        spec, scenario = self.spec, self.spec.scenario
        edges = self.topology.edges_of(self.own)
        tracked = self.topology.tracked
        self.links = {edge: link(scenario.link(*edge), tracked[number]) for number, edge in edges}
        changing = any(event.link is not None for event in scenario.events)
        links = {number: self.links[edge] for number, edge in edges}
        secured = None if self.tls is None else self._secured(self.tls)
        self.transport = ProxyTransport(self.clock, self.addresses, self.ledger, links, changing, secured)
        self.proxy = mesh.Proxy(
            self.clock, self.recorder, self.tracer, self.transport, self.own.number, spec.seed, Station()
        )
        self.configured = ConfiguredProxy(self.proxy, self.topology)
        for _, (_, service) in edges:
            series = Series(SOURCE, self.caller, self._version, service, UNKNOWN)
            self.routes[service] = self._route_to(service, series, Passed(), b"")

    def _secured(self, tls: Tls) -> Secured:
        """Which of its edges use mTLS."""
        from meshsim.live.tls.connect import Secured  # noqa: PLC0415 - OpenSSL

        scenario = self.spec.scenario
        edges = self.topology.edges_of(self.own)
        services = {number: service for number, (_, service) in edges}
        mtls = scenario.mesh.mtls
        return Secured(tls, services, 0 if mtls is None else mtls.round_trips, self.clock.now)

    def _entrance(self, tls: Tls) -> Entrance:
        """What its inbound listener lets in, in the mode that was pushed last."""
        from meshsim.live.tls.entrance import Entrance  # noqa: PLC0415 - OpenSSL

        edge = self.topology.lone_edge(self.caller, secured=False)

        def rejected() -> None:
            """It was this edge's, if it can't have been another's."""
            if edge is not None:
                self.recorder.connection(edge, NOT_ACCEPTED, self.clock.now())

        entrance = Entrance(tls, lambda: self.configured.mode or "disable", rejected=rejected)
        entrance.note = None if self.log is None else self.log.refused
        return entrance

    def _route_to(self, service: str, series: Series, passed: Passed, authority: bytes) -> ListenerRoute:
        """The route to a service, with those to its endpoints that the scenario has calls to."""
        edge, beyond = (self.caller, service), max(map(len, self.scripts.values()), default=0)
        found = {
            endpoint: ListenerRoute(
                self.caller, service, endpoint, self.topology.number_of[edge], self.proxy.routes[number],
                series, passed, authority, self._steps(service, endpoint), beyond + number,
            )
            for number, endpoint in self.topology.routes_of[edge]
        }  # fmt: skip
        return self._with_endpoints(found)

    def _with_endpoints(self, routes: dict[str, ListenerRoute]) -> ListenerRoute:
        """The route to a service itself, which the others, by endpoint, are found from."""
        route = routes.pop("")
        page = pages(self.spec.scenario.services[route.service])
        route.endpoints = {page[endpoint]: each for endpoint, each in routes.items()}
        return route

    def _build_inbound(self, place: Replica) -> ListenerRoute:
        """The route to the replica itself, on which no policy acts."""
        self.inner = ProxyTransport(self.clock, self.addresses)
        if self.pod is not None:
            self.inner.dial = self.pod.connect
        inward = page_proxy(self.clock, self.inner, self.unseen.tracer, self.own.number, self.spec.seed)
        app = replace(place, name=APP, version="")
        upstream = ConfiguredUpstream(inward, 0, place.service, [app], model.Policy())
        route = ConfiguredRoute(upstream, model.Policy())
        series = Series(DESTINATION, UNKNOWN, UNKNOWN, place.service, place.version or "v1")
        passed = Passed()
        return self._with_endpoints({
            endpoint: ListenerRoute(
                place.service, place.service, endpoint, -1, route.route, series, passed, b"", {}, 0
            )
            for endpoint in self.topology.endpoints[place.service]
        })  # fmt: skip

    def _steps(self, service: str, endpoint: str) -> dict[str, Steps]:
        """The calls of an endpoint, by the endpoint of the caller's in whose script they are."""
        return {
            served: [
                (index, repetition)
                for index, step in enumerate(steps)
                if isinstance(step, model.CallStep) and (step.service, step.endpoint) == (service, endpoint)
                for repetition in range(step.repeat)
            ]
            for served, steps in self.scripts.items()
        }

    # ---- a child's life -----------------------------------------------------------------------------

    async def listen(self) -> dict[str, Any]:
        host = self.spec.host
        by_host = {service.encode(): route for service, route in self.routes.items()}
        self.listening["outbound"] = Listening(self._listener(by_host))
        for service, route in self.routes.items():
            named = self._route_to(service, route.series, route.passed, service.encode())
            self.listening[f"url {service}"] = Listening(self._listener({b"": named}))
        self.listening["admin"] = Listening(self.admin)
        if self.inward is not None and self.place is not None:
            entrance = None if self.tls is None else self._entrance(self.tls)
            inbound = self._listener({b"": self.inward}, inbound=True)
            inbound.entrance = entrance
            inbound.guard = self.configured
            self.listening["inbound"] = Listening(inbound, self.place.deployment.keep_alive, entrance)
        ports = {name: await one.open(host) for name, one in self.listening.items()}
        if self.pod is not None:
            await self._intercept(self.pod)
        return {
            "inbound": ports.get("inbound"),
            "outbound": ports["outbound"],
            "admin": ports["admin"],
            "urls": {service: ports[f"url {service}"] for service in self.routes},
        }

    def _pod_network(self) -> PodNetwork:
        """Its end of the pod's network."""
        from meshsim.live.intercept.sidecar import PodNetwork  # noqa: PLC0415 - seldom there is one

        return PodNetwork()

    async def _intercept(self, pod: PodNetwork) -> None:
        """Takes the calls of the program in its pod."""
        from meshsim.live.intercept.sidecar import Interception  # noqa: PLC0415 - seldom there is one

        by_host = {service.encode(): route for service, route in self.routes.items()}
        first = len(self.listening)
        services = {
            service: self._listener({b"": route}, number=first + number)
            for number, (service, route) in enumerate(self.routes.items(), 1)
        }
        others = self._listener(by_host)
        await Interception(self.caller, self.spec.services, services, others).listen(pod)

    def _listener(
        self, routes: dict[bytes, ListenerRoute], inbound: bool = False, number: int | None = None
    ) -> Listener:
        number = len(self.listening) if number is None else number
        key = random.derive(self.proxy.key, number)  # no two of its listeners number alike
        return Listener(self.shared, routes, inbound, key, self.unrouted, self.spec.context.encode())

    async def connect(self, addresses: Addresses) -> None:
        self.addresses.update(addresses.replicas)
        if addresses.app is not None:
            self.addresses[APP] = addresses.app
        if addresses.enrolment is not None and self.tls is not None:
            from meshsim.live.identity.proxy import ProxyIdentity  # noqa: PLC0415 - cryptography

            self.identity = ProxyIdentity(self.clock, self.tls, self.caller, addresses.enrolment)
        if addresses.base is None:
            if self.identity is not None:
                await self.identity.enrol()
            self._follow(addresses, version=0)
        else:
            await self._join(addresses, addresses.base)
        self.admin.ready = True

    def _follow(self, addresses: Addresses, version: int) -> Follower | None:
        """Follows the control plane, if there is one; it has this version already, or none: -1."""
        if addresses.following is not None:
            key = random.derive(self.proxy.key, random.PUSHES)
            following = Followed(self.configured, self.spec.scenario, self.addresses, self.clock.now)
            self.follower = Follower(addresses.following, self.spec.id, version, following.apply, key)
            self.follower.start()
        return self.follower

    async def _join(self, addresses: Addresses, base: float) -> None:
        """Joins a mesh that runs: it is ready when it has its configuration, and its certificate."""
        self.clock.begin(base)
        follower = self._follow(addresses, version=-1)
        if self.identity is not None:
            await self.identity.join(self.spec.scenario, self.proxy.key)
        if follower is not None:
            await follower.first.wait()

    def start(self, base: float) -> None:
        self.clock.begin(base)
        if self.identity is not None and self.identity.agent is None:
            self.identity.start(self.spec.scenario, self.proxy.key)
        schedule_events(self.topology, self.clock, links=self.links)
        inbound = self.listening.get("inbound")
        if inbound is not None and isinstance(inbound.handler, Listener) and self.place is not None:
            back = inbound.reopen
            gone: Callable[[], None] = partial(inbound.disappear, inbound.handler.abort_all)
            if self.identity is not None:
                gone, back = self.identity.gone(gone), self.identity.back(back)
            self.go_down = gone
            schedule_outages(self.clock, self.spec.scenario, self.place, self.clock.now(), gone, back)

    def hear(self, message: Message) -> None:
        if "down" in message:
            self.go_down()

    def stats(self) -> dict[str, Any]:
        """What has passed on each edge since the start, and what is under way."""
        self.unseen.hold()
        routes = self.routes.values()
        report = edge_report({f"{each.caller} -> {each.service}": self._counts(each) for each in routes})
        if self.inward is not None:
            inside = self._counts(self.inward)
            report["held"] = inside.active + inside.pending
        if self.follower is not None:
            report["configuration"] = self.follower.report()
        return report if self.tls is None else {**report, "tls": self.tls.stats()}

    def metrics(self) -> list[Metric]:
        """All that its page of metrics has."""
        edges = {service: self._counts(route) for service, route in self.routes.items()}
        events = [] if self.identity is None else [what for _, what in self.identity.events]
        return proxy_metrics(self.series, edges, self.tls, events)

    def _counts(self, route: ListenerRoute) -> EdgeCounts:
        counts = route.passed.counts()
        each = [route, *route.endpoints.values()]
        clusters: set[Cluster] = {cluster for one in each for cluster in one.mesh_route.policy.clusters}
        counts.ejections = sum(edge == route.edge for _, edge, _ in self.recorder.ejections)
        counts.ejected = sum(host.ejected for cluster in clusters for host in cluster.hosts)
        counts.active = sum(cluster.breaker.active for cluster in clusters)
        counts.pending = sum(cluster.breaker.pending for cluster in clusters)
        return counts

    def rows(self) -> Mapping[str, NDArray[Any]]:
        if self.ledger is None:
            return {}
        certificates = {} if self.identity is None else self.identity.rows()
        return {**self.ledger.rows(), **self.feed.rows(), **certificates}

    def close(self) -> None:
        if self.follower is not None:
            self.follower.close()
        if self.identity is not None:
            self.identity.close()
        if self.log is not None:
            self.log.close()


def _scripts(scenario: model.Scenario, place: Replica) -> dict[str, list[model.CallStep | model.SleepStep]]:
    """The steps of a replica's scripts, by endpoint."""
    service = scenario.services[place.service]
    return {
        endpoint: [step for stage in service.work(place.version, endpoint).script for step in stage]
        for endpoint in ("", *service.endpoints)
    }
