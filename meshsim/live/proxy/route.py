"""Where a listener sends its requests: a route of the mesh, and what is kept about it."""

from __future__ import annotations

from collections import Counter

from meshsim.live.proxy.access import of_route
from meshsim.live.proxy.series import Series
from meshsim.live.stats import EdgeCounts
from meshsim.mesh.histogram import Histogram, bucket
from meshsim.mesh.proxy import Route


class Passed:
    """What has passed on one route: the hot half of `EdgeCounts`."""

    latency: Histogram

    def __init__(self) -> None:
        self.calls = 0
        self.ok = 0
        self.attempts = 0
        self.retries = 0
        self.hedges = 0
        self.latency = Histogram()

    def answered(self, status: int, latency: float, attempts: int, hedges: bool) -> None:
        """Counts a call's end, `latency` s after its start; `status` is 0 where the client had gone.

        `hedges` says that attempts after the first are hedges, not retries.
        """
        self.calls += 1
        if 0 < status < 400:
            self.ok += 1
        self.latency.add(bucket(latency), latency)
        self.attempts += attempts
        if attempts > 1 and hedges:
            self.hedges += attempts - 1
        elif attempts > 1:
            self.retries += attempts - 1

    def counts(self) -> EdgeCounts:
        """As the launcher is sent it."""
        numbered = enumerate(self.latency.counts, self.latency.low)
        latency = Counter({number: count for number, count in numbered if count})
        return EdgeCounts(self.calls, self.ok, self.attempts, self.retries, self.hedges, latency=latency)


Steps = list[tuple[int, int]]
"""(flat index, repetition) of calls of a script, in order."""


class ListenerRoute:
    """One destination of a proxy; an inbound route has its own service at both ends.

    Attributes:
        client: whether the caller is the client, whose calls belong to no span.
        endpoint: of the service; ``""`` is the service itself.
        noted: what the access log says of it.
        edge: its number in the scenario; -1 inbound.
        passed: on it and all other routes to the service.
        authority: the Host that is sent upstream; nothing: what the downstream sent.
        steps: the calls of it in the caller's scripts, by the endpoint whose script that is.
        beyond: an index that no step has, and none but this route's.
        endpoints: of the service itself: the routes to its endpoints, by method and path.
    """

    inbound: bool
    client: bool
    noted: str
    endpoints: dict[tuple[bytes, bytes], ListenerRoute]

    def __init__(
        self, caller: str, service: str, endpoint: str, edge: int, mesh_route: Route, series: Series,
        passed: Passed, authority: bytes, steps: dict[str, Steps], beyond: int,
    ) -> None:  # fmt: skip
        self.caller = caller
        self.service = service
        self.endpoint = endpoint
        self.noted = of_route(service, endpoint)
        self.edge = edge
        self.inbound = edge < 0
        self.client = caller == "client"
        self.mesh_route = mesh_route
        self.series = series
        self.passed = passed
        self.authority = authority
        self.steps = steps
        self.beyond = beyond
        self.endpoints = {}
