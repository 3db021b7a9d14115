"""Where a listener sends its requests: a route of the mesh, and what is kept about it."""

from __future__ import annotations

from meshsim.live.proxy.series import Series
from meshsim.live.stats import EdgeCounts
from meshsim.mesh.route import Route


class Way:
    """One destination of a proxy.

    Attributes:
        caller, service: the edge; an inbound way has its own service at both ends.
        edge: its number in the scenario; -1 inbound.
        route: decides.
        series: what Prometheus is told.
        passed: what the live table is told.
        authority: the Host that is sent upstream; nothing: what the downstream sent.
        step: flat index of the first step of the caller's script that calls the service; -1 if none does.
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
        self.passed = EdgeCounts()
        self.authority = authority
        self.step = step
