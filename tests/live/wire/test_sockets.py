"""The same over real sockets, on both loops: a small proxy of the two classes, resets, slow readers."""

from __future__ import annotations

import asyncio
import socket
import sys
import warnings
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from meshsim.live.wire import (
    CHUNKED,
    NOBODY,
    ClientConnection,
    Handler,
    Limits,
    Reply,
    RequestHead,
    ResponseHead,
    ServerConnection,
    ServerStream,
    request_head,
)

sys.path.insert(0, str(Path(__file__).parent))
from ends import Server, Waiter

from tests.live.proxy.ends import settle

LIMITS = Limits()


def on(loop: str, test: Coroutine[Any, Any, None]) -> None:
    """Runs a test on one of the loops, within two minutes; what a callback raises fails it."""
    errors: list[Any] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with asyncio.timeout(120.0):
            await test
            await asyncio.sleep(0.05)

    with warnings.catch_warnings():
        # after a failed test transports are open, and where this warning is an error, uvloop never closes
        warnings.simplefilter("ignore", ResourceWarning)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
            runner.run(bounded())
    assert errors == []


both = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


async def listen(handler: Handler, limits: Limits = LIMITS) -> tuple[asyncio.Server, int]:
    server = await asyncio.get_running_loop().create_server(
        lambda: ServerConnection(handler, limits), "127.0.0.1", 0
    )
    return server, server.sockets[0].getsockname()[1]


class BinnedFlow(ServerStream):
    """A request on its way through the small proxy, with back-pressure both ways."""

    def __init__(self, proxy: Proxy, down: ServerConnection, head: RequestHead):
        self.down = down
        self.head = head
        self.up = proxy.idle.pop()
        self.coming = Coming(proxy, self)
        self.counted = 0

    def body(self, data: bytes) -> None:
        self.counted += len(data)
        self.up.send(data)

    def complete(self) -> None:
        self.up.end()

    def gone(self) -> None:
        self.up.abort()

    def writable(self, yes: bool) -> None:
        self.up.flow(yes)


class Coming(Reply):
    """Its response on the way back."""

    def __init__(self, proxy: Proxy, passing: BinnedFlow):
        self.proxy = proxy
        self.passing = passing

    def whole(self, connection: ClientConnection, head: ResponseHead, body: bytes) -> None:
        self.proxy.give_back(connection)
        self.passing.down.answer(head.status, head.headers, body, head.length)

    def head(self, connection: ClientConnection, head: ResponseHead) -> None:
        self.passing.down.start(head.status, head.headers, head.length)

    def body(self, data: bytes) -> None:
        self.passing.down.send(data)

    def complete(self, connection: ClientConnection) -> None:
        self.proxy.give_back(connection)
        self.passing.down.end()

    def informed(self, status: int) -> None:
        self.passing.down.proceed()

    def lost(self, connection: ClientConnection, kind: int, why: str) -> None:
        self.proxy.losses.append(kind)
        if connection.answering:
            self.passing.down.abort()
        else:
            self.passing.down.answer(503, [], b"lost")

    def writable(self, yes: bool) -> None:
        self.passing.down.flow(yes)


class Proxy(Handler):
    """Passes everything on to one upstream."""

    def __init__(self) -> None:
        self.idle: list[ClientConnection] = []
        self.losses: list[int] = []
        self.refusals = 0
        self.passing: list[BinnedFlow] = []

    async def connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        _, up = await loop.create_connection(
            lambda: ClientConnection(self._forget, LIMITS), "127.0.0.1", port
        )
        self.idle.append(up)

    async def end(self, servers: list[asyncio.Server]) -> None:
        for connection in self.idle:
            connection.close()
        for server in servers:
            server.close()

    def _forget(self, connection: ClientConnection) -> None:
        self.idle.remove(connection)

    def give_back(self, connection: ClientConnection) -> None:
        if connection.reusable:
            self.idle.append(connection)

    def begin(self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool) -> BinnedFlow:
        passing = BinnedFlow(self, connection, head)
        self.passing.append(passing)
        connection.proceed()
        written = request_head(head.method, head.path, head.host, head.headers, head.length)
        chunks = head.length == CHUNKED
        passing.up.request(passing.coming, written, body, whole, head.method, chunked=chunks)
        return passing

    def refused(self, connection: ServerConnection, status: int, why: str) -> None:
        self.refusals += 1


class Echo(Handler):
    """Sends a body back as it comes, stopping when it must."""

    def __init__(self) -> None:
        self.held = 0

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        echo = self

        class Stream(ServerStream):
            def body(self, data: bytes) -> None:
                connection.send(data)

            def complete(self) -> None:
                connection.end()

            def writable(self, yes: bool) -> None:
                if yes:
                    connection.flow(True)
                else:
                    echo.held += 1
                    connection.flow(False)

        if whole:
            connection.answer(200, [], body)
        else:
            connection.start(200, [], head.length)
            connection.send(body)
        return Stream()


async def through(upstream: Handler) -> tuple[Proxy, int, list[asyncio.Server]]:
    """An upstream behind the small proxy."""
    behind, port = await listen(upstream)
    proxy = Proxy()
    await proxy.connect(port)
    front, port = await listen(proxy)
    return proxy, port, [behind, front]


async def exchange(port: int, raw: bytes, size: int = 1 << 16) -> bytes:
    """Sends and reads to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    parts: list[bytes] = []
    while part := await reader.read(size):
        parts.append(part)
    writer.close()
    return b"".join(parts)


@both
def test_requests_pass_through_and_connections_are_used_again(loop: str) -> None:
    async def test() -> None:
        proxy, port, servers = await through(Server())
        one = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        raw = b"".join(one % n for n in range(50)) + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        sent = await exchange(port, raw)
        assert sent.count(b"HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 1\r\n\r\n3") == 50
        assert sent.endswith(b"\r\nconnection: close\r\ncontent-length: 1\r\n\r\n0")
        assert len(proxy.idle) == 1
        await proxy.end(servers)

    on(loop, test())


@both
@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_stream_both_ways_and_stop_when_nobody_reads(loop: str, chunked: bool) -> None:
    async def test() -> None:
        echo = Echo()
        proxy, port, servers = await through(echo)
        size = 96 << 20  # more than the buffers of three sockets hold, at most about 10 MB each way
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        how = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + how + b"\r\n\r\n")
        piece = bytes(range(256)) * 256

        async def send() -> None:
            for _ in range(size // len(piece)):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await writer.drain()
            if chunked:
                writer.write(b"0\r\n\r\n")

        sending = asyncio.create_task(send())
        await asyncio.sleep(0.5)  # nobody reads
        assert not sending.done()
        assert echo.held
        passing = proxy.passing[0]
        assert passing.counted < size
        for transport in (passing.down.transport, passing.up.transport):
            assert transport.get_write_buffer_size() < 1 << 20
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"200 OK" in head
        total = 0
        while part := await reader.read(1 << 16):
            total += len(part)
        await sending
        framing = (size // len(piece)) * 9 if chunked else 0
        assert total >= size + (framing and 5)
        assert (total == size) is not chunked
        writer.close()
        await proxy.end(servers)

    on(loop, test())


@both
def test_an_upstream_that_dies_amid_its_response_resets_the_client(loop: str) -> None:
    async def test() -> None:
        class Dying(Handler):
            def begin(self, connection: ServerConnection, *_: Any) -> ServerStream:
                connection.start(200, [], 100)
                connection.send(b"some")
                asyncio.get_running_loop().call_later(0.05, connection.abort)
                return NOBODY

        proxy, port, servers = await through(Dying())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert proxy.losses == [2]  # GARBAGE: as Envoy has it
        writer.close()
        await proxy.end(servers)

    on(loop, test())


@both
def test_garbage_from_the_upstream_becomes_an_answer(loop: str) -> None:
    async def test() -> None:
        async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"220 smtp ready\r\n\r\n")

        behind = await asyncio.start_server(nonsense, "127.0.0.1", 0)
        proxy = Proxy()
        await proxy.connect(behind.sockets[0].getsockname()[1])
        front, port = await listen(proxy)
        sent = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert sent.startswith(b"HTTP/1.1 503 ")
        assert proxy.losses == [2]
        await proxy.end([front, behind])

    on(loop, test())


@both
def test_a_refusal_reaches_a_client_that_is_still_sending(loop: str) -> None:
    async def test() -> None:
        server, port = await listen(Server())

        def client() -> bytes:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
                sock.sendall(b"GET / HTTP/1.1\nHost: a\n\n" + b"x" * 300_000)
                received = b""
                while part := sock.recv(1000):
                    received += part
                return received

        received = await asyncio.to_thread(client)
        assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        server.close()

    on(loop, test())


@both
def test_slowloris_is_cut_off(loop: str) -> None:
    async def test() -> None:
        handler = Server()
        server, port = await listen(handler, Limits(header_timeout=0.3, linger=0.1))
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for _ in range(3):
            for _, writer in connections:
                writer.write(b"GET / HTTP/1.1\r\nX: " if _ == 0 else b"y")
            await asyncio.sleep(0.1)
        for reader, writer in connections:
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
            writer.close()
        await settle(lambda: handler.open == 0, "all are closed")
        assert len(handler.refusals) == 20
        server.close()

    on(loop, test())


@both
def test_a_client_that_leaves_is_noticed(loop: str) -> None:
    async def test() -> None:
        handler = Server(answers=False)
        server, port = await listen(handler)
        for reset in (False, True):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await settle(lambda gone=reset: len(handler.served) == 1 + gone, "it is there")
            if reset:
                writer.transport.abort()
            else:
                writer.close()
            await settle(lambda: handler.served[-1].lost, "it is noticed")
        await settle(lambda: handler.open == 0, "all are closed")
        server.close()

    on(loop, test())


@both
def test_an_upstream_that_closes_an_idle_connection_is_noticed(loop: str) -> None:
    async def test() -> None:
        proxy, port, servers = await through(Server())
        sent = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert sent.startswith(b"HTTP/1.1 200")
        assert len(proxy.idle) == 1
        up = proxy.idle[0]
        waiter = Waiter()
        up.request(waiter, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"", True, b"GET")
        proxy.idle.clear()
        while not waiter.done:
            await asyncio.sleep(0.01)
        assert not waiter.reusable
        await proxy.end(servers)

    on(loop, test())
