"""The transport of those who make calls: a service for its script, the load generator for its load.

Each call asks the sidecar's listener for the service that is called for the page of an endpoint; its headers
say whose call it is. A service passes on what any must: see `CARRIED`.
"""

from __future__ import annotations

from array import array
from typing import Any
from urllib.parse import urlsplit

from meshsim.live.clock import LiveClock
from meshsim.live.context import (
    REQUEST_ID,
    TRACEPARENT,
    TRACESTATE,
    Context,
    key_hex,
    request_id,
    trace_half,
    traceparent,
)
from meshsim.live.transport import SocketTransport
from meshsim.live.wire import RequestHead, request_head
from meshsim.live.wire.heads import Headers
from meshsim.mesh.attempt import Attempt
from meshsim.mesh.hosts import Stream
from meshsim.mesh.proxy import Proxy, Route
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.spans import Tracer
from meshsim.mesh.station import Station
from meshsim.mesh.visit import Repeats
from meshsim.random import Key
from meshsim.scenario import model
from meshsim.scenario.machines import ConfiguredRoute, ConfiguredUpstream
from meshsim.scenario.topology import Edge, Replica, Topology

CARRIED = frozenset([REQUEST_ID, TRACESTATE, b"baggage"])
"""Headers that a service passes on as they came, to all that it calls for a request.

Source: Istio, trace context propagation; W3C Trace Context and Baggage.
"""

Page = tuple[bytes, bytes]
"""Method and path, as a request names an endpoint."""


def carried(head: RequestHead, key: Key) -> Headers:
    """What is to be passed on of a request, whose `key` names it where nobody has."""
    found = [header for header in head.headers if header[0] in CARRIED]
    return found if head.get(REQUEST_ID) else [*found, (REQUEST_ID, request_id(key))]


def pages(service: model.Service) -> dict[str, Page]:
    """The page of each endpoint of a service, and of the service itself: ``""``."""
    addresses = {endpoint: service.address(endpoint) for endpoint in ("", *service.endpoints)}
    return {endpoint: (method.encode(), path.encode()) for endpoint, (method, path) in addresses.items()}


class PageTransport(SocketTransport):
    """Asks for a page, an attempt.

    If `numbered`, it keeps row and key of each client request, and how much later than meant it was sent, s.
    """

    def __init__(
        self, clock: LiveClock, topology: Topology, context_name: str, numbered: bool = False
    ) -> None:
        super().__init__(clock, {})
        self.context_name = context_name.encode()
        self.half = trace_half(context_name)
        found = {name: pages(service) for name, service in topology.scenario.services.items()}
        self.pages = [
            (*found[service][endpoint], service.encode()) for _, service, endpoint in topology.routes
        ]
        self.numbered = numbered
        self.request_row: array[int] = array("q")
        self.request_key: array[int] = array("Q")
        self.lag: array[float] = array("d")

    def locate(self, urls: dict[str, str]) -> None:
        """Where the listener for each service is."""
        for service, url in urls.items():
            parts = urlsplit(url)
            self.addresses[service] = (parts.hostname or "", parts.port or 80)

    def send(self, stream: Stream, now: float) -> None:
        if self.numbered:
            assert isinstance(stream, Attempt), "attempts are what a call sends"
            request = stream.call.request
            request.half = self.half
            self.request_row.append(request.row)
            self.request_key.append(request.key)
            self.lag.append(self.clock.now() - request.start)
        super().send(stream, now)

    def head(self, attempt: Attempt) -> bytes:
        call = attempt.call
        request = call.request
        context = Context(call.key, request.start, call.extra, request.sampled, request.priority)
        owner = call.owner  # type: ignore[attr-defined]  # the calls of a page are Calls
        parent = owner.span or call.key
        trace = key_hex(request.half, request.key)
        headers = [
            (self.context_name, context.header()),
            (TRACEPARENT, traceparent(trace, parent or 1, request.sampled)),
        ]
        if self.numbered:
            headers.append((REQUEST_ID, request_id(request.key)))
        else:
            stay: Any = owner.visit if isinstance(owner, Repeats) else owner
            headers += stay.carried  # the visits of a service are Stays
        return request_head(*self.pages[call.route.number], headers, 0)


def page_proxy(
    clock: LiveClock, transport: SocketTransport, tracer: Tracer, number: int, seed: int,
    recorder: Recorder | None = None,
) -> Proxy:  # fmt: skip
    """What makes calls that somebody else records: an application's, or those into it.

    Of sampled ones there are spans in `tracer`, which nobody needs where a proxy of ours has them too.
    """
    return Proxy(clock, recorder or Recorder(), tracer, transport, number, seed, Station())


def page_routes(proxy: Proxy, topology: Topology, edge: Edge) -> dict[str, Route]:
    """The routes of an edge, by endpoint, on which no policy acts: the sidecar has them all."""
    _, service = edge
    sidecar = Replica(0, service, service, "", model.Deployment())
    upstream = ConfiguredUpstream(proxy, topology.number_of[edge], service, [sidecar], model.Policy())
    return {
        endpoint: ConfiguredRoute(upstream, model.Policy(), number).route
        for number, endpoint in topology.routes_of[edge]
    }
