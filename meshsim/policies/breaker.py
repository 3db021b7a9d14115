"""Envoy's circuit breaker: limits on what one proxy has under way to one cluster.

It is not a switch with a half-open state: each limit is a gauge, refused while full and free the moment
something ends. What it buys is that a slow upstream can hold only so many of the caller's connections, so
the caller's other work goes on. By Little's law the right `max_requests` is rate · latency, with room for
bursts; failure mode: a limit far above that (the default 1024) does not act before the caller is already in
trouble.

HTTP/1.1: one request a connection. A request finds an idle connection to *its* host, or joins that host's
pending queue, if fewer than `max_pending` wait in the whole cluster; a connection opens for it if fewer
than `max_connections` exist, or if this host has none at all (so the cap can be exceeded by one a host).
Even the very first request is pending for a moment: with `max_pending: 0` a cluster never serves.

Source: Envoy, conn_pool_base.cc and resource_manager_impl.h; measured on 1.40.
"""

from __future__ import annotations

from typing import final


@final
class CircuitBreaker:
    """Thresholds, and the gauges they are held against.

    Attributes:
        max_connections, max_pending, max_requests: the thresholds.
        connections: open, busy or idle.
        pending: tries that wait for a connection.
        active: tries in flight.
        retries: retry slots in use.
    """

    max_connections: int
    max_pending: int
    max_requests: int

    def __init__(self, max_connections: int, max_pending: int, max_requests: int) -> None:
        self.limit(max_connections, max_pending, max_requests)
        self.connections = 0
        self.pending = 0
        self.active = 0
        self.retries = 0

    def limit(self, max_connections: int, max_pending: int, max_requests: int) -> None:
        """Changes the thresholds; what is under way stays."""
        self.max_connections = max_connections
        self.max_pending = max_pending
        self.max_requests = max_requests

    def may_wait(self) -> bool:
        """Whether one more try may wait for a connection."""
        return self.pending < self.max_pending

    def may_connect(self, host_connections: int) -> bool:
        """Whether a connection may be opened to a host that has so many."""
        return self.connections < self.max_connections or host_connections == 0

    def may_send(self) -> bool:
        """Whether one more try may be in flight."""
        return self.active < self.max_requests
