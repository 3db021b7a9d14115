"""How much of the network's patience and memory one connection may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection; sizes in bytes, times in seconds.

    Source: Envoy's defaults (`max_request_headers_kb`, `max_headers_count`, `idle_timeout`,
    `stream_idle_timeout`, `delayed_close_timeout`, `listener_filters_timeout`). Envoy sets no
    `request_headers_timeout`; the one here ends slowloris attacks.
    """

    head_bytes: int = 60 * 1024
    """Of a head, its first line included; also of what a chunked body may hold beside its data in one go."""
    headers: int = 100
    """Header lines of one head."""
    header_timeout: float = 10.0
    """From the first byte of a request's head to its last."""
    idle_timeout: float = 3600.0
    """Of a connection on which no request is being served."""
    stream_idle_timeout: float = 300.0
    """Of a request being served: since a piece of its body last came, or one of its answer was last given."""
    linger: float = 1.0
    """How long a closing connection waits for the other side, so that its last answer is not lost."""
    informational: int = 16
    """1xx answers before one response."""
    buffer_bytes: int = 64 * 1024
    """Written but not sent: above it whoever writes has to stop, below a quarter of it to go on."""
    handshake_timeout: float = 15.0
    """From the opening of a connection that may be TLS to its first byte of plaintext."""
    handshakes: int = 4096
    """Of such connections at once, on one listener."""
