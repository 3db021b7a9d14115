"""A proxy between scripted upstreams and a client of raw bytes, all of them on the loop of one test.

Whatever a test does, in the end every gauge of the proxy must be back at 0, its books must agree with its
sockets, and no descriptor may be left open.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from meshsim.live.child import Addresses, Spec
from meshsim.live.loops import Kind, new_loop
from meshsim.live.proxy.exchange import Exchange
from meshsim.live.proxy.listener import Listener
from meshsim.live.roles.proxy import Proxy
from meshsim.live.transport import SocketTransport
from meshsim.live.wire import ClientConnection, ServerConnection
from meshsim.mesh.cluster import Cluster
from meshsim.scenario.model import Scenario

HOST = "127.0.0.1"
PATIENCE = 20.0
"""Of a test, s."""
END = b"\r\n\r\n"


def live(test: Callable[..., Awaitable[None]], kind: Kind = "fast") -> Callable[..., None]:
    """Runs a test on a loop of its own; it may not take long, nor leave a descriptor or a traceback behind."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        before = descriptors()
        errors: list[Any] = []
        with asyncio.Runner(loop_factory=lambda: new_loop(kind)) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: errors.append(context))
            runner.run(asyncio.wait_for(_cleanly(test(*args, **kwargs), before), PATIENCE))
        assert not errors, errors

    return run


async def _cleanly(test: Awaitable[None], before: int) -> None:
    started = descriptors() - before  # the loop's own
    await test
    gc.collect()
    await settle(lambda: descriptors() - before <= started, "descriptors are closed")


def descriptors() -> int:
    """How many this process has open; libuv's spare /dev/null aside."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found += os.readlink(f"/proc/self/fd/{name}") != os.devnull
    return found


async def settle(true: Callable[[], bool], what: str, patience: float = 3.0) -> None:
    """Waits until something holds."""
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, f"in {patience} s it did not come true that {what}"
        await asyncio.sleep(0.005)


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
        behaviour: done for each request once it is whole.
        early: done instead as soon as its head is there; the body is then left in `reader`.
        narrow: whether the system keeps next to nothing for those who don't read.
        requests: all of them.
        connections: open now.
        accepted: connections so far.
    """

    def __init__(self, behaviour: Behaviour | None = None, *, early: Any = None, narrow: bool = False) -> None:
        self.behaviour = behaviour or answers()
        self.early = early
        self.narrow = narrow
        self.requests: list[Message] = []
        self.connections: set[asyncio.StreamWriter] = set()
        self.accepted = 0
        self.port = 0
        self.server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        """Listens; returns the port."""
        self.server = await asyncio.start_server(self._accept, HOST, self.port)
        if self.narrow:
            self.server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port = self.server.sockets[0].getsockname()[1]
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
        if self.server is not None:
            self.server.close()
            self.server = None
        for task in list(self._tasks):
            task.cancel()
        await settle(lambda: not self._tasks, "the upstream's tasks end")


async def free_port() -> int:
    """A port at which nobody listens."""
    server = await asyncio.start_server(lambda reader, writer: None, HOST, 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


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


# ---- the proxy ----------------------------------------------------------------------------------------


class Rig:
    """A proxy and what surrounds it.

    Attributes:
        ports: where it listens.
        upstreams: the replicas of `cart`.
    """

    def __init__(self, proxy: Proxy, upstreams: list[Upstream], log: Path) -> None:
        self.proxy = proxy
        self.upstreams = upstreams
        self.ports: dict[str, Any] = {}
        self.clients: list[Client] = []
        self.log_file = log

    @property
    def upstream(self) -> Upstream:
        """The first."""
        return self.upstreams[0]

    @property
    def seen(self) -> list[Message]:
        """Requests that all upstreams have got, in order of time."""
        return sorted((each for one in self.upstreams for each in one.requests), key=lambda each: each.at)

    async def client(self, listener: str = "outbound", port: int | None = None) -> Client:
        """Connects to a listener of the proxy."""
        port = port or self.ports["urls"].get(listener) or self.ports[listener]
        client = Client(*await asyncio.open_connection(HOST, port))
        self.clients.append(client)
        return client

    async def ask(self, method: str = "GET", listener: str = "outbound", **request: Any) -> Message:
        """One request over a connection of its own."""
        client = await self.client(listener)
        try:
            return await client.ask(method, **request)
        finally:
            client.close()

    async def burst(self, count: int, **request: Any) -> list[Message]:
        """So many at once, each over a connection of its own that is open before the first is sent."""
        clients = [await self.client() for _ in range(count)]
        try:
            return list(await asyncio.gather(*(client.ask(**request) for client in clients)))
        finally:
            for client in clients:
                client.close()

    def log(self) -> list[dict[str, Any]]:
        """The lines of the access log."""
        assert self.proxy.log is not None
        self.proxy.log.flush()
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    async def logged(self, count: int = 1) -> list[dict[str, Any]]:
        """The access log, once it has so many lines."""
        await settle(lambda: len(self.log()) >= count, f"the access log has {count} lines")
        lines = self.log()
        assert len(lines) == count, lines
        return lines

    async def outcome(self) -> tuple[int, str, int, int]:
        """Of the only request so far: status, flags and attempts in the log, and requests seen upstream."""
        (line,) = await self.logged()
        return line["response_code"], line["response_flags"], line["attempt_count"], len(self.seen)

    def clusters(self) -> list[Cluster]:
        """Of all routes."""
        routes = [way.route for way in self.proxy.ways.values()]
        if self.proxy.inward is not None:
            routes.append(self.proxy.inward.route)
        return [cluster for route in routes for cluster in route.policy.clusters]

    def transports(self) -> list[SocketTransport]:
        inner = [self.proxy.inner] if self.proxy.inward is not None else []
        return [self.proxy.transport, *inner]

    def busy(self) -> dict[str, int]:
        """Every gauge that is not 0."""
        found: dict[str, int] = {}
        for cluster in self.clusters():
            breaker = cluster.breaker
            for name in ("active", "pending", "retries"):
                found[name] = found.get(name, 0) + getattr(breaker, name)
            idle = sum(host.idle for host in cluster.hosts)
            found["not idle"] = found.get("not idle", 0) + breaker.connections - idle
            for host in cluster.hosts:
                found[host.name] = host.active + host.pending + host.opening + host.connections - host.idle
        found["idle"] = len(self.idle()) - sum(host.idle for cluster in self.clusters() for host in cluster.hosts)
        return {name: number for name, number in found.items() if number}

    def served(self) -> list[ServerConnection]:
        """Connections of clients that the proxy has open."""
        listeners = [one.handler for one in self.proxy.listening.values()]
        return [each for one in listeners if isinstance(one, Listener) for each in one.connections]

    def connections(self) -> list[ClientConnection]:
        """Connections to upstreams on which requests are being sent with their bodies still coming."""
        streams = [each.stream for each in self.served()]
        uploads = [each.upstream for each in streams if isinstance(each, Exchange) and each.upstream is not None]
        return [each.connection for each in uploads if each.connection is not None]

    def idle(self) -> list[ClientConnection]:
        """Connections to upstreams that serve nobody."""
        return [each for one in self.transports() for pool in one.pools.values() for each in pool.idle]

    async def at_rest(self) -> None:
        """Waits until nothing is under way in the proxy."""
        await settle(lambda: not self.busy(), "all gauges are 0")

    async def close(self) -> None:
        """Ends all of it, and looks whether anything is left."""
        try:
            for client in self.clients:
                client.close()
            await settle(lambda: not self.served(), "the proxy closes its clients' connections")
            try:
                await self.at_rest()
            except AssertionError as error:
                raise AssertionError(f"{error}: {self.busy()}") from None
        finally:
            for transport in self.transports():
                transport.close()
            for one in self.proxy.listening.values():
                one.close()
            for upstream in self.upstreams:
                await upstream.close()
            self.proxy.close()
            self.proxy.clock.close()


@contextlib.asynccontextmanager
async def proxied(
    *upstreams: Upstream,
    id: str = "client/0",
    policy: Mapping[str, Any] | None = None,
    versions: tuple[str, ...] = (),
    app: Upstream | None = None,
    refusing: int = 0,
    **scenario: Any,
) -> AsyncIterator[Rig]:
    """A running proxy.

    Args:
        upstreams: replicas of `cart`, which client and frontend call; one, if none are given.
        id: whose proxy it is.
        policy: of `cart`.
        versions: of `cart`: one for each upstream.
        app: the proxy's own application.
        refusing: more replicas of `cart`, at which nobody listens.
        scenario: further keys of it.
    """
    given = list(upstreams) or ([] if refusing else [Upstream()])
    cart = {"versions": {name: {} for name in versions}} if versions else {"replicas": len(given) + refusing}
    written = Scenario.model_validate(
        {
            "duration": "1h",
            "services": {"frontend": {"script": [{"call": "cart"}]}, "cart": cart},
            "policies": {"cart": dict(policy or {})},
            "load": [{"to": "cart", "rate": "1/s"}, {"to": "frontend", "rate": "1/s"}],
            "mesh": {"dataplane": "sidecar"},
            **scenario,
        }
    )
    with TemporaryDirectory() as folder:
        log = Path(folder) / "access.jsonl"
        proxy = Proxy(Spec("proxy", id, written, 7, HOST, True, log))
        rig = Rig(proxy, given, log)
        try:
            rig.ports = await proxy.listen()
            names = [f"cart/{name}/0" for name in versions] or [f"cart/{n}" for n in range(len(given) + refusing)]
            ports = [await one.open() for one in given] + [await free_port() for _ in range(refusing)]
            addresses = {name: (HOST, port) for name, port in zip(names, ports, strict=True)}
            if app is not None:
                given.append(app)
            own = None if app is None else (HOST, await app.open())
            await proxy.connect(Addresses({**addresses, "frontend/0": own or (HOST, 9)}, own, {}))
            proxy.start(time.monotonic())
            yield rig
        finally:
            await rig.close()
