"""The two ends of a proxy: upstreams that do what they are told, and a client of raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tests.live.processes import reserved

HOST = "127.0.0.1"
END = b"\r\n\r\n"


async def settle(true: Callable[[], bool], what: str, patience: float = 60.0) -> None:
    """Waits until something holds."""
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, f"in {patience} s it did not come true that {what}"
        await asyncio.sleep(0.005)


BEAT = 0.002
"""How often a watch looks whether the machine lets this process run, s; twice that is an interruption."""


class Watch:
    """The time since it was made, by the clock, and as long as the machine let this process run.

    Nothing happens before its time by the clock; it happens not much later as long as the process runs. So
    `took` is for lower bounds and `ran` for upper ones, which else would be some about the machine.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._beat_at = time.monotonic()
        self._held = 0.0
        self._beat()

    @property
    def took(self) -> float:
        """By the clock, s."""
        return time.monotonic() - self._began

    @property
    def ran(self) -> float:
        """Without interruptions, s."""
        return self.took - self._held - self._interruption()

    def _interruption(self) -> float:
        since = time.monotonic() - self._beat_at
        return since - BEAT if since > 2 * BEAT else 0.0

    def _beat(self) -> None:
        self._held += self._interruption()
        self._beat_at = time.monotonic()
        self._loop.call_later(BEAT, self._beat)


# ---- heads and bodies ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Message:
    """A request as an upstream reads it, or a response as a client does.

    Attributes:
        first: the first line.
        headers: with lower-case names, as they came.
        interim: statuses of the answers 1xx before it.
        number: of a request, in the order in which the upstream got them.
    """

    first: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)
    number: int = 0
    at: float = field(default_factory=time.monotonic)

    @property
    def status(self) -> int:
        return int(self.first.split()[1])

    @property
    def method(self) -> bytes:
        return self.first.split()[0]

    @property
    def target(self) -> bytes:
        return self.first.split()[1]

    def get(self, name: str) -> bytes | None:
        """The only header of this name; None without one."""
        found = [value for key, value in self.headers if key == name.encode()]
        assert len(found) < 2, f"{name} came {len(found)} times"
        return found[0] if found else None


async def read_head(reader: asyncio.StreamReader) -> Message:
    """The next head."""
    raw = await reader.readuntil(END)
    first, *lines = raw[:-4].split(b"\r\n")
    pairs = [line.partition(b":") for line in lines]
    return Message(first, [(name.lower(), value.strip()) for name, _, value in pairs])


async def read_body(reader: asyncio.StreamReader, message: Message, until_close: bool) -> bytes:
    """The body that a head announces."""
    if message.get("transfer-encoding") is not None:
        pieces = []
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            pieces.append(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        return b"".join(pieces)
    length = message.get("content-length")
    if length is not None:
        return await reader.readexactly(int(length))
    return await reader.read() if until_close else b""


def written(headers: Mapping[str, str]) -> bytes:
    """Header lines."""
    return b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())


def chunked(*pieces: bytes) -> bytes:
    """A whole chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# ---- upstreams ----------------------------------------------------------------------------------------

Behaviour = Callable[[Message, asyncio.StreamWriter], Awaitable[None]]


def answers(status: int = 200, body: bytes = b"hello", **headers: str) -> Behaviour:
    """Answers every request alike; underscores in names of headers become hyphens."""
    lines = written({name.replace("_", "-"): value for name, value in headers.items()})

    async def behave(request: Message, writer: asyncio.StreamWriter) -> None:
        none = status in (204, 304)
        length = b"" if none else b"content-length: %d\r\n" % len(body)
        sent = b"" if none or request.method == b"HEAD" else body
        writer.write(b"HTTP/1.1 %d X\r\n%b%b\r\n%b" % (status, lines, length, sent))

    return behave


def says(raw: bytes, *, close: bool = False) -> Behaviour:
    """Answers every request with these bytes."""

    async def behave(request: Message, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        if close:
            writer.close()

    return behave


def after(delay: float, behaviour: Behaviour) -> Behaviour:
    """Takes its time."""

    async def behave(request: Message, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay)
        await behaviour(request, writer)

    return behave


def waits(event: asyncio.Event, behaviour: Behaviour) -> Behaviour:
    """Does nothing before something has happened."""

    async def behave(request: Message, writer: asyncio.StreamWriter) -> None:
        await event.wait()
        await behaviour(request, writer)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One for each request; the last for all that follow."""

    async def behave(request: Message, writer: asyncio.StreamWriter) -> None:
        await behaviours[min(request.number, len(behaviours) - 1)](request, writer)

    return behave


async def silence(request: Message, writer: asyncio.StreamWriter) -> None:
    """Never answers."""


async def dies(request: Message, writer: asyncio.StreamWriter) -> None:
    """Resets the connection."""
    writer.transport.abort()


class Upstream:
    """A server that does what it is told.

    Attributes:
        listening: all that are open.
        behaviour: done for each request once it is whole.
        early: done instead as soon as its head is there; the body is then left in `reader`.
        narrow: whether the system keeps next to nothing for those who don't read.
        requests: all of them.
        connections: open now.
        accepted: connections so far.
    """

    listening: ClassVar[set[Upstream]] = set()

    def __init__(
        self, behaviour: Behaviour | None = None, *, early: Any = None, narrow: bool = False
    ) -> None:
        self.behaviour = behaviour or answers()
        self.early = early
        self.narrow = narrow
        self.requests: list[Message] = []
        self.connections: set[asyncio.StreamWriter] = set()
        self.accepted = 0
        self.port = 0
        self.keeping: socket.socket | None = None
        self.server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        """Listens, at the same port as before if it did; returns it."""
        self.keeping = self.keeping or reserved()
        self.port = self.keeping.getsockname()[1]
        self.server = await asyncio.start_server(self._accept, HOST, self.port)
        self.listening.add(self)
        if self.narrow:
            self.server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return self.port

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.connections.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while not writer.is_closing():
                    await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            self.connections.discard(writer)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_head(reader)
        request.number = len(self.requests)
        self.requests.append(request)
        if self.early is not None:
            await self.early(request, reader, writer)
            return
        request.body = await read_body(reader, request, until_close=False)
        await self.behaviour(request, writer)

    async def close(self) -> None:
        """Listens no more, and drops its connections."""
        self.listening.discard(self)
        if self.keeping is not None:
            self.keeping.close()
            self.keeping = None
        if self.server is not None:
            self.server.close()
            self.server = None
        for task in list(self._tasks):
            task.cancel()
        await settle(lambda: not self._tasks, "the upstream's tasks end")


# ---- the client ---------------------------------------------------------------------------------------


class Client:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self, method: str = "GET") -> Message:
        """The next response."""
        interim = []
        while True:
            message = await read_head(self.reader)
            if message.status >= 200:
                break
            interim.append(message.status)
        message.interim = interim
        if method != "HEAD" and message.status not in (204, 304):
            message.body = await read_body(self.reader, message, until_close=True)
        return message

    async def ask(
        self, method: str = "GET", target: str = "/", host: str = "cart", body: bytes = b"", **headers: str
    ) -> Message:
        """One request and its response; underscores in names of headers become hyphens."""
        lines = written({name.replace("_", "-"): value for name, value in headers.items()})
        length = f"content-length: {len(body)}\r\n" if body else ""
        self.send(f"{method} {target} HTTP/1.1\r\nhost: {host}\r\n{length}".encode() + lines + b"\r\n" + body)
        return await self.response(method)

    async def rest(self) -> bytes:
        """What comes until the proxy closes."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read()
        return b""

    async def ended(self) -> BaseException | None:
        """Reads up to the end; the error, if it was one: a reset."""
        try:
            await self.reader.read()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            return error
        return None

    def close(self) -> None:
        self.writer.transport.abort()
