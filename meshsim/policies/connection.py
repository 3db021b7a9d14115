"""How long a connection lasts, and why one that lasts too long, or not long enough, hurts.

A new connection costs its first request the handshake. One that is kept costs nothing, until one of its ends
has enough of it. Where that is the server, a request may be on its way when it closes: the keep-alive race,
which fails requests that nothing was wrong with. So the caller's `idle_timeout` belongs below the server's
keep-alive time, by two latencies. A low `connect_timeout` on a slow link fails whatever waits for the host at
once, and the retries of it open connections again: a storm.

Source:
    Envoy's `HttpProtocolOptions` and `Cluster.connect_timeout` (API v3), whose names these are but for
    `max_requests` (`max_requests_per_connection`) and `max_age` (`max_connection_duration`).
"""

from __future__ import annotations

from typing import final


@final
class ConnectionRule:
    """The settings that a connection keeps from when it begins to open.

    Attributes:
        connect_timeout: s; 0 is none.
        idle_timeout: s; 0 is none.
        max_requests: after so many it is closed.
        max_age: s; 0 is none.
    """

    def __init__(
        self, connect_timeout: float, idle_timeout: float, max_requests: int, max_age: float
    ) -> None:
        self.connect_timeout = connect_timeout
        self.idle_timeout = idle_timeout
        self.max_requests = max_requests
        self.max_age = max_age

    def gives_up(self, connect: float) -> bool:
        """Whether an opening that takes so long, s, fails at the time-out."""
        return 0.0 < self.connect_timeout <= connect

    def spent(self, requests: int) -> bool:
        """Whether a connection that has had so many requests is not used again."""
        return requests >= self.max_requests
