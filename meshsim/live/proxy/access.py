"""The access log: a line of JSON a request, with the fields of Istio's default format.

Source: Istio, pilot/pkg/model/telemetry_logging.go (which fields); Envoy, access log documentation (what they
mean). Lines are written in batches, at most a second late, as Envoy's are. What can't be written (the disk is
full) is lost, and reported as a trouble: a request must not fail because nobody can read of it.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import BinaryIO

from meshsim.live.context import REQUEST_ID
from meshsim.live.troubles import trouble
from meshsim.live.wire.client import ClientConnection
from meshsim.live.wire.heads import RequestHead
from meshsim.live.wire.server import ServerConnection
from meshsim.scenario.identity import uri_of

BATCH = 64
"""Lines.

NOTE: some 50 kB. From 128 kB on each batch has memory of its own from the kernel, which clears it first: a
line cost twice as much."""
FLUSH_INTERVAL = 1.0
"""s."""

SEEN_AT_MOST = 1024


def text(value: bytes) -> str:
    """A header's value as JSON has it; nothing as null."""
    if not value:
        return "null"
    words = value.decode("latin-1")
    return f'"{words}"' if plain(value) else quoted(words)


def plain(value: bytes) -> bool:
    """Whether there is nothing in it that JSON escapes."""
    byte: int
    for byte in value:  # noqa: SIM110 - compiled it is C's loop, which `all` is not
        if byte < 32 or byte > 126 or byte == 34 or byte == 92:  # 34 and 92 are " and \
            return False
    return True


def place(transport: asyncio.BaseTransport | None, name: str) -> str:
    """An end of a socket as JSON has it: ``sockname`` or ``peername``."""
    found = None if transport is None else transport.get_extra_info(name)
    return f'"{found[0]}:{found[1]}"' if isinstance(found, tuple) and len(found) > 1 else "null"


def principal(service: str) -> str:
    """The identity of a service as JSON has it; nothing as null."""
    return quoted(uri_of(service)) if service else "null"


def of_downstream(transport: asyncio.BaseTransport | None, identity: str) -> str:
    """What a line says of the connection that its request came on."""
    policy = "mutual_tls" if identity else "none"
    return (
        f'"downstream_local_address":{place(transport, "sockname")},'
        f'"downstream_remote_address":{place(transport, "peername")},'
        f'"downstream_peer_uri_san":{principal(identity)},"connection_security_policy":"{policy}"'
    )


def of_route(service: str, endpoint: str = "") -> str:
    """What a line says of where its request was to go."""
    name = f"{service}/{endpoint}" if endpoint else service
    return f'"upstream_cluster":"{service}","route_name":"{name}"'


NO_ROUTE = of_route("")
NO_UPSTREAM = '"upstream_local_address":null,"upstream_peer_uri_san":null'


def of_upstream(connection: ClientConnection | None) -> str:
    """What a line says of the connection that its last try was sent on."""
    if connection is None:
        return NO_UPSTREAM
    if not connection.noted:
        local = place(connection.transport, "sockname")
        connection.noted = (
            f'"upstream_local_address":{local},"upstream_peer_uri_san":{principal(connection.identity)}'
        )
    return connection.noted


class AccessLog:
    """Writes lines to a file, one after the other; an OSError if it can't be opened."""

    _file: BinaryIO
    _flushing: asyncio.TimerHandle | None
    _lines: list[str]
    _seen: dict[bytes, str]

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._file = path.open("ab", buffering=0)
        self._loop = loop
        self._flushing = None
        self._lines = []
        self._seen = {}
        self._second = 0
        self._stamp = ""

    def write(
        self, started: float, head: RequestHead, status: int, flags: str, details: str, received: int,
        sent: int, lasted: float, upstream: float, host: str, route: str, attempts: int,
        connection: ServerConnection, onward: str = NO_UPSTREAM, failure: str = "",
    ) -> None:  # fmt: skip
        """One line.

        `started` is Unix time, s; `lasted` is until the end of the answer, `upstream` what of that the
        upstream took, s (negative where none answered); `received` and `sent` are bytes of the bodies; `host`
        is the upstream's ``address:port``, empty where none was chosen; `route` is `of_route`, `onward`
        `of_upstream`; `failure` is why there was no connection to the upstream.
        """
        if not connection.noted:
            connection.noted = of_downstream(connection.transport, connection.identity)
        lasted_ms = int(lasted * 1e3)
        upstream_ms = int(upstream * 1e3)
        service_time = "null" if upstream < 0.0 else f"{upstream_ms}"
        upstream_host = f'"{host}"' if host else "null"
        failed = quoted(failure) if failure else "null"
        self._write(
            f'{{"start_time":"{self._time(started)}","method":{text(head.method)},'
            f'"path":{text(head.path)},"protocol":"HTTP/1.{head.minor}","response_code":{status},'
            f'"response_flags":"{flags or "-"}","response_code_details":"{details}",'
            f'"bytes_received":{received},"bytes_sent":{sent},"duration":{lasted_ms},'
            f'"upstream_service_time":{service_time},'
            f'"x_forwarded_for":{text(head.get(b"x-forwarded-for"))},'
            f'"user_agent":{self._again(head.get(b"user-agent"))},"request_id":{text(head.get(REQUEST_ID))},'
            f'"authority":{self._again(head.host)},"upstream_host":{upstream_host},'
            f'{route},"attempt_count":{attempts},{connection.noted},{onward},"upstream_transport_failure_reason":{failed},'
            '"downstream_transport_failure_reason":null}\n'
        )

    def refused(self, reason: str, transport: asyncio.Transport | None) -> None:
        """A line of a connection that was refused before a request came on it."""
        self._write(
            f'{{"start_time":"{self._time(time.time())}","response_code":0,"response_flags":"-",'
            f"{of_downstream(transport, '')},"
            f'"downstream_transport_failure_reason":"TLS_error:_{reason}"}}\n'
        )

    def _time(self, started: float) -> str:
        """Unix time, s, as ISO 8601 in UTC."""
        second = int(started)
        if second != self._second:
            self._second = second
            self._stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        micros = int((started - second) * 1e6)
        return f"{self._stamp}.{micros:06d}Z"

    def _write(self, line: str) -> None:
        """Keeps a line until there are enough, or a second has passed."""
        self._lines.append(line)
        if len(self._lines) >= BATCH:
            self.flush()
        elif self._flushing is None:
            self._flushing = self._loop.call_later(FLUSH_INTERVAL, self.flush)

    def _again(self, value: bytes) -> str:
        """`text` of what mostly comes again: as many as `SEEN_AT_MOST` are remembered."""
        found = self._seen.get(value)
        if found is None:
            if len(self._seen) >= SEEN_AT_MOST:
                self._seen = {}
            found = self._seen[value] = text(value)
        return found

    def flush(self) -> None:
        """Writes what is waiting."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        lines, self._lines = self._lines, []
        data = memoryview("".join(lines).encode())
        try:
            while data:  # a write may take only part of it
                data = data[self._file.write(data) :]
        except OSError as error:
            trouble(f"the access log {self._file.name} lacks lines: {error.strerror}")

    def close(self) -> None:
        """Writes what is waiting, and closes."""
        self.flush()
        self._file.close()
