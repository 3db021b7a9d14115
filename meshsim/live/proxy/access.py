"""The access log: a line of JSON a request, with the fields of Istio's default format.

Source: Istio, pilot/pkg/model/telemetry_logging.go (which fields); Envoy, access log documentation (what they
mean). Lines are written in batches, at most a second late, as Envoy's are.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import BinaryIO

BATCH = 256
"""Lines."""
LATE_AT_MOST = 1.0
"""s."""

_LINE = (
    '{"start_time":"%s.%06dZ","method":%s,"path":%s,"protocol":"HTTP/1.%d","response_code":%d,'
    '"response_flags":"%s","response_code_details":"%s","bytes_received":%d,"bytes_sent":%d,"duration":%d,'
    '"upstream_service_time":%s,"x_forwarded_for":%s,"user_agent":%s,"request_id":%s,"authority":%s,'
    '"upstream_host":%s,"upstream_cluster":"%s","route_name":"%s","attempt_count":%d}\n'
)


def text(value: bytes) -> str:
    """A header's value as JSON has it; nothing as null."""
    return quoted(value.decode("latin-1")) if value else "null"


class AccessLog:
    """Writes lines to a file.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._lines: list[str] = []
        self._second = 0
        self._stamp = ""
        self._flushed = 0.0

    def write(
        self, started: float, method: bytes, path: bytes, minor: int, status: int, flags: str, details: str,
        received: int, sent: int, lasted: float, upstream: float | None, forwarded: bytes, agent: bytes,
        request_id: bytes, authority: bytes, host: str, cluster: str, route: str, attempts: int,
    ) -> None:  # fmt: skip
        """One line.

        Args:
            started: Unix time, s.
            method: of the request, as are the arguments from `path` to `minor` and from `forwarded` on.
            path: its target.
            minor: HTTP/1.minor.
            status: of the answer.
            flags: Envoy's.
            details: why the answer is what it is.
            received: bytes of the request's body.
            sent: bytes of the answer's.
            lasted: until the end of the answer, s.
            upstream: what of that the upstream took, s; None where none answered.
            forwarded: X-Forwarded-For.
            agent: User-Agent.
            request_id: X-Request-Id.
            authority: Host.
            host: ``address:port`` of the upstream; nothing where none was chosen.
            cluster: where it went.
            route: by which.
            attempts: tries that were sent.
        """
        second = int(started)
        if second != self._second:
            self._second = second
            self._stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        self._lines.append(
            _LINE
            % (
                self._stamp, int((started - second) * 1e6), text(method), text(path), minor, status,
                flags or "-", details, received, sent, lasted * 1e3,
                "null" if upstream is None else int(upstream * 1e3), text(forwarded), text(agent),
                text(request_id), text(authority),
                json.dumps(host) if host else "null", cluster, route, attempts,
            )
        )  # fmt: skip
        if len(self._lines) >= BATCH or started - self._flushed > LATE_AT_MOST:
            self.flush()

    def flush(self) -> None:
        """Writes what is waiting."""
        self._flushed = time.time()
        lines, self._lines = self._lines, []
        if lines:
            self._file.write("".join(lines).encode())

    def close(self) -> None:
        """Writes what is waiting, and closes."""
        self.flush()
        self._file.close()
