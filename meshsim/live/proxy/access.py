"""The access log: a line of JSON a request, with the fields of Istio's default format.

Source: Istio, pilot/pkg/model/telemetry_logging.go (which fields); Envoy, access log documentation (what they
mean). Lines are written in blocks, as Envoy's are: a line is in the file a second later at most, and when the
proxy is told to stop. What can't be written (the disk is full) is lost, and reported as a trouble: a request
must not fail because nobody can read of it.

Most of a line is the same as in others. It is put together of parts that are made once: for a connection, a
route, a host, a value of a header.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import BinaryIO, final

from meshsim.live.context import REQUEST_ID
from meshsim.live.pool import Pool
from meshsim.live.troubles import trouble
from meshsim.live.wire.client import ClientConnection
from meshsim.live.wire.heads import RequestHead
from meshsim.live.wire.server import ServerConnection
from meshsim.scenario.identity import uri_of

BATCH = 16
"""Lines that are encoded at once: few enough to be in the processor's cache still."""
BLOCK_BYTES = 128 << 10
"""What is written at once.

NOTE: from memory that is kept. So much new memory is the kernel's, which clears it first. Blocks of half the
size cost the kernel almost twice as much a line."""
FLUSH_INTERVAL = 1.0
"""s."""

REMEMBERED = 1024
"""Values of a field."""
REMEMBERED_BYTES = 256
"""Of a value."""


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
        f',"downstream_local_address":{place(transport, "sockname")},'
        f'"downstream_remote_address":{place(transport, "peername")},'
        f'"downstream_peer_uri_san":{principal(identity)},"connection_security_policy":"{policy}"'
    )


def of_route(service: str, endpoint: str = "") -> str:
    """What a line says of where its request was to go, up to how often it was tried."""
    name = f"{service}/{endpoint}" if endpoint else service
    return f',"upstream_cluster":"{service}","route_name":"{name}","attempt_count":'


NO_ROUTE = of_route("")
NO_HOST = ',"upstream_host":null'
NO_UPSTREAM = ',"upstream_local_address":null,"upstream_peer_uri_san":null'
NOT_FORWARDED = ',"x_forwarded_for":null'


def of_host(pool: Pool | None) -> str:
    """What a line says of the host that its last try was for."""
    if pool is None:
        return NO_HOST
    if not pool.noted:
        pool.noted = f',"upstream_host":"{pool.name}"'
    return pool.noted


def of_upstream(connection: ClientConnection | None) -> str:
    """What a line says of the connection that its last try was sent on."""
    if connection is None:
        return NO_UPSTREAM
    if not connection.noted:
        local = place(connection.transport, "sockname")
        connection.noted = (
            f',"upstream_local_address":{local},"upstream_peer_uri_san":{principal(connection.identity)}'
        )
    return connection.noted


def of_failure(reason: str) -> str:
    """The end of a line: why there was no connection to the upstream."""
    why = quoted(reason) if reason else "null"
    return f',"upstream_transport_failure_reason":{why},"downstream_transport_failure_reason":null}}\n'


NO_FAILURE = of_failure("")


@final
class Field:
    """A part of lines with a value from outside, which mostly comes again: so it is remembered."""

    _parts: dict[bytes, str]

    def __init__(self, before: str, after: str) -> None:
        self._before = before
        self._after = after
        self._parts = {}

    def of(self, value: bytes) -> str:
        """The part with this value."""
        found = self._parts.get(value)
        if found is None:
            found = f"{self._before}{text(value)}{self._after}"
            if len(value) <= REMEMBERED_BYTES:
                if len(self._parts) >= REMEMBERED:
                    self._parts = {}
                self._parts[value] = found
        return found


class AccessLog:
    """Writes lines to a file, one after the other; an OSError if it can't be opened."""

    _file: BinaryIO
    _flushing: asyncio.TimerHandle | None
    _lines: list[str]
    _block: bytearray
    _method: Field
    _path: Field
    _agent: Field
    _authority: Field

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._file = path.open("ab", buffering=0)
        self._loop = loop
        self._flushing = None
        self._lines = []
        self._block = bytearray(BLOCK_BYTES)
        self._filled = 0  # of the block, bytes
        self._method = Field('Z","method":', ',"path":')
        self._path = Field("", ',"protocol":"HTTP/1.')
        self._agent = Field(',"user_agent":', ',"request_id":')
        self._authority = Field(',"authority":', "")
        self._second = 0
        self._stamp = ""
        self._minor = -1
        self._status = 0
        self._flags = ""
        self._details = ""
        self._outcome = ""

    def write(
        self, started: float, head: RequestHead, status: int, flags: str, details: str, received: int,
        sent: int, lasted: float, upstream: float, pool: Pool | None, route: str, attempts: int,
        connection: ServerConnection, onward: ClientConnection | None = None, failure: str = "",
    ) -> None:  # fmt: skip
        """One line.

        `started` is Unix time, s; `lasted` is until the end of the answer, `upstream` what of that the
        upstream took, s (negative where none answered); `received` and `sent` are bytes of the bodies; `pool`
        is of the upstream's host, None where none was chosen; `route` is `of_route`; `onward` is the
        connection that the last try was sent on; `failure` is why there was none to the upstream.
        """
        if not connection.noted:
            connection.noted = of_downstream(connection.transport, connection.identity)
        second = int(started)
        if second != self._second:
            self._turn(second)
        micros = int((started - second) * 1e6)
        lasted_ms = int(lasted * 1e3)
        upstream_ms = int(upstream * 1e3)
        service_time = "null" if upstream < 0.0 else f"{upstream_ms}"
        forwarded = head.get(b"x-forwarded-for")
        forwarded_for = f',"x_forwarded_for":{text(forwarded)}' if forwarded else NOT_FORWARDED
        failed = of_failure(failure) if failure else NO_FAILURE
        self._write(
            f"{self._stamp}{micros:06d}{self._method.of(head.method)}{self._path.of(head.path)}"
            f"{self._result(head.minor, status, flags, details)}"
            f'{received},"bytes_sent":{sent},"duration":{lasted_ms},"upstream_service_time":{service_time}'
            f"{forwarded_for}{self._agent.of(head.get(b'user-agent'))}{text(head.get(REQUEST_ID))}"
            f"{self._authority.of(head.host)}{of_host(pool)}{route}{attempts}{connection.noted}"
            f"{of_upstream(onward)}{failed}"
        )

    def refused(self, reason: str, transport: asyncio.Transport | None) -> None:
        """A line of a connection that was refused before a request came on it."""
        now = time.time()
        second = int(now)
        self._turn(second)
        micros = int((now - second) * 1e6)
        self._write(
            f'{self._stamp}{micros:06d}Z","response_code":0,"response_flags":"-"'
            f"{of_downstream(transport, '')},"
            f'"downstream_transport_failure_reason":"TLS_error:_{reason}"}}\n'
        )

    def _turn(self, second: int) -> None:
        """Begins lines with another second of Unix time, as ISO 8601 in UTC."""
        self._second = second
        stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        self._stamp = f'{{"start_time":"{stamp}.'

    def _result(self, minor: int, status: int, flags: str, details: str) -> str:
        """What a line says from the version of HTTP to the bytes received: mostly the same as the last."""
        if status != self._status or minor != self._minor or flags != self._flags or details != self._details:
            self._status = status
            self._minor = minor
            self._flags = flags
            self._details = details
            self._outcome = (
                f'{minor}","response_code":{status},"response_flags":"{flags or "-"}",'
                f'"response_code_details":"{details}","bytes_received":'
            )
        return self._outcome

    def _write(self, line: str) -> None:
        """Keeps a line until there are enough, or a second has passed."""
        self._lines.append(line)
        if len(self._lines) >= BATCH:
            self._encode()
        if self._flushing is None:
            self._flushing = self._loop.call_later(FLUSH_INTERVAL, self.flush)

    def _encode(self) -> None:
        """Moves the lines into the block; what has no room in an empty one is written at once."""
        data = "".join(self._lines).encode()
        self._lines = []
        if self._filled + len(data) > BLOCK_BYTES:
            self._send(self._block, self._filled)
            self._filled = 0
        if len(data) > BLOCK_BYTES:
            self._send(data, len(data))
        else:
            end = self._filled + len(data)
            self._block[self._filled : end] = data
            self._filled = end

    def _send(self, block: bytes | bytearray, length: int) -> None:
        """Writes the first bytes of a block."""
        data = memoryview(block)[:length]
        try:
            while data:  # a write may take only part of it
                data = data[self._file.write(data) :]
        except OSError as error:
            trouble(f"the access log {self._file.name} lacks lines: {error.strerror}")

    def flush(self) -> None:
        """Writes what is waiting."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._encode()
        self._send(self._block, self._filled)
        self._filled = 0

    def close(self) -> None:
        """Writes what is waiting, and closes."""
        self.flush()
        self._file.close()
