"""The client and the upstream hosts of a measurement, all in one asyncio loop.

A `Host` is an upstream that does what its script says for each request it is sent, and notes when it came. A
`Connection` is a downstream client: one request at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from meshsim.random import derive

Address = tuple[str, int]
LOOPBACK = "127.0.0.1"
HEARD_LIMIT = 5.0
"""How long what was sent may take to be heard, s."""
_numbers = itertools.count(1)


def new_key() -> str:
    """A call key that no other request has, 16 hex digits."""
    return f"{int(derive(derive(20261125, 1), next(_numbers))):016x}"


@dataclass(frozen=True)
class Arrival:
    """A request at a host.

    Attributes:
        key: of the call.
        attempt: which try it is, from 1.
        at: when it came, s.
        number: how many this host was sent before it.
        closes: whether it says that its connection is to be closed.
    """

    key: str
    attempt: int
    at: float
    number: int
    closes: bool = False


@dataclass(frozen=True)
class Reply:
    """What a host does with a request.

    Attributes:
        status: of the answer.
        after: how long it takes, s.
        silent: it never answers.
        close: it closes the connection instead of answering.
        raw: it writes these bytes instead, and closes.
        reset: it resets the connection where it would close it (a moment after what it wrote).
        headers: of the answer, beside the usual.
    """

    status: int = 200
    after: float = 0.0
    silent: bool = False
    close: bool = False
    raw: bytes = b""
    reset: bool = False
    headers: str = ""


Script = Callable[[Arrival], Reply]


def always(reply: Reply) -> Script:
    """The same for every request."""
    return lambda arrival: reply


def in_turn(replies: Sequence[Reply]) -> Script:
    """One after the other; the last for all that follow."""
    return lambda arrival: replies[min(arrival.number, len(replies) - 1)]


class _Served(asyncio.Protocol):
    """One connection to a host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.host.connections.add(self)
        self.host.opened += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.host.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            self.serve(head)

    def serve(self, head: bytes) -> None:
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        arrival = Arrival(
            key=fields.get(b"x-meshsim", b"").split(b";")[0].decode(),
            attempt=int(fields.get(b"x-envoy-attempt-count", b"1")),
            at=time.monotonic(),
            number=len(self.host.arrivals),
            closes=fields.get(b"connection") == b"close",
        )
        self.host.arrivals.append(arrival)
        reply = self.host.script(arrival)
        if reply.silent:
            return
        if reply.after:
            asyncio.get_running_loop().call_later(reply.after, self.answer, reply)
        else:
            self.answer(reply)

    def answer(self, reply: Reply) -> None:
        assert self.transport is not None
        if reply.raw:
            self.transport.write(reply.raw)
        elif not (reply.close or reply.reset):
            head = f"HTTP/1.1 {reply.status} Scripted\r\ncontent-length: 0\r\n{reply.headers}\r\n"
            self.transport.write(head.encode())
        if reply.reset:
            asyncio.get_running_loop().call_later(0.02 if reply.raw else 0.0, self.reset)
        elif reply.raw or reply.close:
            self.transport.close()

    def reset(self) -> None:
        assert self.transport is not None
        if self.transport.is_closing():
            return
        linger = struct.pack("ii", 1, 0)  # on, for 0 s: close() sends RST
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()


@dataclass(eq=False)
class Host:
    """An upstream host.

    Attributes:
        script: what it does with a request; may be changed at any time.
        refuses: it does not listen at all.
        arrivals: what it was sent.
        opened: how many connections it has had.
        connections: those that are open.
        address: where it listens (or where nobody does).
    """

    script: Script = field(default_factory=lambda: always(Reply()))
    refuses: bool = False
    arrivals: list[Arrival] = field(default_factory=list)
    opened: int = 0
    connections: set[_Served] = field(default_factory=set)
    address: Address = (LOOPBACK, 0)
    _server: asyncio.Server | None = None
    _held: socket.socket | None = None

    async def open(self) -> None:
        """Begins to listen; one that refuses holds a port on which it does not."""
        if self.refuses:
            self._held = socket.socket()
            self._held.bind((LOOPBACK, 0))
            self.address = self._held.getsockname()
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self.served, LOOPBACK, 0, backlog=1024)
        self.address = self._server.sockets[0].getsockname()

    def served(self) -> _Served:
        """One more connection to it."""
        return _Served(self)

    def close_all(self) -> None:
        """Closes its connections, as one that has had enough of idle ones."""
        for served in self.connections:
            assert served.transport is not None
            served.transport.close()

    def close(self) -> None:
        """Ends, with all its connections."""
        if self._held is not None:
            self._held.close()
        if self._server is not None:
            self._server.close()
        for served in list(self.connections):
            assert served.transport is not None
            served.transport.abort()

    async def has_heard(self, requests: int) -> None:
        """Waits until it has been sent so many."""
        async with asyncio.timeout(HEARD_LIMIT):
            while len(self.arrivals) < requests:
                await asyncio.sleep(0.005)

    async def answer_all(self, reply: Reply, spacing: float) -> None:
        """The same on every connection, whatever the script said of it; so far apart, s."""
        for served in list(self.connections):
            served.answer(reply)
            await asyncio.sleep(spacing)


@dataclass(frozen=True)
class Answer:
    """What a client got.

    Attributes:
        key: of its call.
        status: 0 where the connection broke before the head.
        head: status line and headers, lower case.
        took: s.
        whole: whether all of the body came.
    """

    key: str
    status: int
    head: str
    took: float
    whole: bool = True


class Connection:
    """A client's connection to a listener; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connects."""
        return cls(*await asyncio.open_connection(LOOPBACK, port))

    def send(self, key: str, host: str = "laws", page: str = "GET /") -> None:
        """Sends a request for a page now, without waiting."""
        ours = f"x-meshsim: {key};0.0;0;0;0\r\nx-request-id: {key}\r\n"
        self.writer.write(f"{page} HTTP/1.1\r\nhost: {host}\r\n{ours}\r\n".encode())

    async def answer(self, key: str, since: float) -> Answer:
        """Waits for the answer to the request sent at `since`."""
        status, head, whole = 0, "", False
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status = int(head.split()[1])
            if "transfer-encoding: chunked" in head:
                await self.reader.readuntil(b"0\r\n\r\n")
            else:
                _, _, rest = head.partition("content-length: ")
                await self.reader.readexactly(int(rest.split("\r\n", 1)[0] or 0))
            whole = True
        return Answer(key, status, head, time.monotonic() - since, whole)

    async def ask(self, key: str = "", host: str = "laws", page: str = "GET /") -> Answer:
        """Sends a request for a page and waits for its answer."""
        key = key or new_key()
        since = time.monotonic()
        self.send(key, host, page)
        return await self.answer(key, since)

    async def close(self) -> None:
        """Closes."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def ask(port: int, host: str = "laws") -> Answer:
    """One request on a connection of its own."""
    connection = await Connection.open(port)
    try:
        return await connection.ask(host=host)
    finally:
        await connection.close()


@contextlib.contextmanager
def halted(pid: int) -> Iterator[None]:
    """A process finds all at once what comes to it meanwhile; 0 for none."""
    if pid:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.005)  # all its threads must have stopped
    try:
        yield
    finally:
        if pid:
            os.kill(pid, signal.SIGCONT)


async def send_at_once(
    port: int, n: int, pid: int = 0
) -> tuple[list[Connection], list[asyncio.Task[Answer]]]:
    """So many requests in the same instant, and their answers to come.

    Args:
        port: of the listener.
        n: how many; each on a connection of its own, accepted before.
        pid: of a proxy to halt while they are written, so that it finds all of them at once when it goes on.
    """
    connections = [await Connection.open(port) for _ in range(n)]
    await asyncio.sleep(0.02)
    keys = [new_key() for _ in connections]
    with halted(pid):
        since = time.monotonic()
        for connection, key in zip(connections, keys, strict=True):
            connection.send(key)
    waits = [connection.answer(key, since) for connection, key in zip(connections, keys, strict=True)]
    return connections, [asyncio.create_task(wait) for wait in waits]


async def burst(port: int, n: int, pid: int = 0) -> list[Answer]:
    """What becomes of so many requests in the same instant."""
    connections, waits = await send_at_once(port, n, pid)
    answers = await asyncio.gather(*waits)
    for connection in connections:
        await connection.close()
    return answers


async def leave(connections: list[Connection], waits: list[asyncio.Task[Answer]]) -> int:
    """Waits no longer; how many requests have not been answered."""
    left = [wait for wait in waits if not wait.done()]
    for wait in left:
        wait.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for connection in connections:
        await connection.close()
    return len(left)
