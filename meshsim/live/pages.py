"""The transport of those who make calls: a service for its script, the load generator for its load.

Each call asks the sidecar's listener for the service that is called for the page of an endpoint; its headers
say whose call it is.
"""

from __future__ import annotations

from array import array
from urllib.parse import urlsplit

from meshsim.live.clock import LiveClock
from meshsim.live.context import (
    REQUEST_ID,
    TRACEPARENT,
    Context,
    key_hex,
    request_id,
    trace_half,
    traceparent,
)
from meshsim.live.transport import SocketTransport
from meshsim.live.wire import request_head
from meshsim.mesh.attempt import Attempt
from meshsim.mesh.hosts import Stream
from meshsim.mesh.proxy import Proxy, Route
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.spans import Tracer
from meshsim.mesh.station import Station
from meshsim.scenario import model
from meshsim.scenario.machines import ConfiguredRoute, ConfiguredUpstream
from meshsim.scenario.topology import Edge, Replica, Topology

Page = tuple[bytes, bytes]
"""Method and path, as a request names an endpoint."""


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
        parent = call.owner.span or call.key  # type: ignore[attr-defined]  # the calls of a page are Calls
        trace = key_hex(request.half, request.key)
        headers = [
            (self.context_name, context.header()),
            (TRACEPARENT, traceparent(trace, parent or 1, request.sampled)),
            (REQUEST_ID, request_id(request.key)),
        ]
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
