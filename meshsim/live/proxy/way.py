"""Where a listener sends its requests: a route of the mesh, and what is kept about it."""

from __future__ import annotations

from meshsim.live.proxy.series import Series
from meshsim.mesh.histogram import Histogram, bucket
from meshsim.mesh.route import Route


class Passed:
    """What has passed on a way, since the start.

    Attributes:
        requests, ok, retries: how many.
        latency: of the requests.
    """

    __slots__ = ("latency", "ok", "requests", "retries")

    def __init__(self) -> None:
        self.requests = 0
        self.ok = 0
        self.retries = 0
        self.latency = Histogram()

    def count(self, status: int, attempts: int, lasted: float) -> None:
        """One more request."""
        self.requests += 1
        if 0 < status < 400:
            self.ok += 1
        if attempts > 1:
            self.retries += attempts - 1
        self.latency.add(bucket(lasted), lasted)


class Way:
    """One destination of a proxy.

    Attributes:
        caller, service: the edge; an inbound way has its own service at both ends.
        edge: its number in the scenario; -1 inbound.
        route: decides.
        series: what Prometheus is told.
        passed: what the live table is told.
        authority: the Host that is sent upstream; nothing: what the downstream sent.
        steps: flat index of the first step of the caller's script that calls the service; -1 if none does.
    """

    __slots__ = ("authority", "caller", "edge", "inbound", "passed", "route", "series", "service", "step")

    def __init__(
        self, caller: str, service: str, edge: int, route: Route, series: Series, authority: bytes, step: int
    ) -> None:
        self.caller = caller
        self.service = service
        self.edge = edge
        self.inbound = edge < 0
        self.route = route
        self.series = series
        self.passed = Passed()
        self.authority = authority
        self.step = step
