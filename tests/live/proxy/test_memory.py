"""A proxy in a process of its own: what streams through it does not stay in its memory."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from pathlib import Path

import pytest

from tests.live.proxy.children import Child
from tests.live.proxy.ends import (
    HOST,
    Behaviour,
    Message,
    Upstream,
    answers,
    dies,
    read_body,
    read_head,
    says,
    settle,
    silence,
)
from tests.live.proxy.rig import live, proxied

SIZE = 50 << 20
PIECE = bytes(range(256)) * 1024
ROOM = 8 << 20
"""Of memory that a transfer may take: some buffers and the allocator's slack, a sixth of what is sent."""
WHOLE = hashlib.sha256(PIECE * (SIZE // len(PIECE))).hexdigest()


async def pour(writer: asyncio.StreamWriter) -> None:
    """Writes all of it, as fast as it is taken."""
    for _ in range(SIZE // len(PIECE)):
        writer.write(PIECE)
        await writer.drain()


async def sip(reader: asyncio.StreamReader, pause: float) -> str:
    """Reads all of it in gulps with pauses; returns its digest."""
    digest, left = hashlib.sha256(), SIZE
    while left:
        data = await reader.read(1 << 20)
        assert data, f"{left} bytes are missing"
        digest.update(data)
        left -= len(data)
        await asyncio.sleep(pause)
    return digest.hexdigest()


@live
async def test_a_long_upload_to_a_slow_reader() -> None:
    told: list[str] = []

    async def slow(request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        told.append(await sip(reader, 0.002))
        await answers()(request, writer)

    upstream = Upstream(early=slow)
    port = await upstream.open()
    with Child(port) as proxy:
        before = proxy.memory()
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % SIZE)
        await pour(writer)
        assert (await read_head(reader)).status == 200
        assert told == [WHOLE]
        assert proxy.peak() - before < ROOM
        writer.transport.abort()
        assert await asyncio.to_thread(proxy.stop) == 0
    await upstream.close()


@live
async def test_an_inbound_proxy_keeps_nothing_of_uploads_that_are_being_served() -> None:
    """It never tries again; so 50 bodies of a megabyte, sent on and not answered yet, leave no trace."""
    size, many, taken = 1 << 20, 50, 0

    async def takes(request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.readexactly(size)
        taken += 1
        await reader.read()

    upstream = Upstream(early=takes)
    port = await upstream.open()
    with Child(port, id="cart/0") as proxy:
        before = proxy.memory()
        clients = [await asyncio.open_connection(HOST, proxy.port) for _ in range(many)]
        for _, writer in clients:
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
            for _ in range(size // len(PIECE)):
                writer.write(PIECE)
                await writer.drain()
        await settle(lambda: taken == many, "the application has got all of them")
        assert proxy.memory() - before < ROOM + many * (64 << 10)
        for _, writer in clients:
            writer.transport.abort()
        assert await asyncio.to_thread(proxy.stop) == 0
    await upstream.close()


@live
async def test_spans_that_nobody_takes_do_not_stay() -> None:
    async with proxied(id="frontend/0", app=Upstream()) as rig:
        await rig.ask(listener="inbound", host="frontend", x_meshsim="00000000000000ff;1.25;0;1;0")
        assert rig.proxy.inward is not None
        tracer = rig.proxy.inward.mesh_route.tracer
        assert tracer.spans == 2, "the way into its replica, which has a server span"
        rig.proxy.stats()
        assert tracer.spans == 0


@live
async def test_a_long_download_by_a_slow_reader() -> None:
    async def behave(request: Message, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
        await pour(writer)

    upstream = Upstream(behave)
    port = await upstream.open()
    with Child(port) as proxy:
        before = proxy.memory()
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await read_head(reader)).status == 200
        await asyncio.sleep(0.2)
        assert await sip(reader, 0.002) == WHOLE
        assert proxy.peak() - before < ROOM
        writer.transport.abort()
        assert await asyncio.to_thread(proxy.stop) == 0
    await upstream.close()


@live
async def test_a_process_serves_logs_and_leaves_nothing(tmp_path: Path) -> None:
    upstream = Upstream()
    port = await upstream.open()
    log = tmp_path / "access.jsonl"
    with Child(port, keep=True, log=log) as proxy:
        opened = proxy.descriptors()
        for _ in range(50):
            reader, writer = await asyncio.open_connection(HOST, proxy.port)
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            answer = await read_head(reader)
            assert await read_body(reader, answer, until_close=False) == b"hello"
            writer.transport.abort()
        await settle(lambda: proxy.descriptors() <= opened + 1, "its clients' connections are closed")
        assert await asyncio.to_thread(proxy.stop) == 0
    assert log.read_text().count("\n") == 50
    await upstream.close()


OURS = {"ClientConnection", "ServerConnection", "Exchange", "Call", "Attempt", "ProxyDelivery", "Deadline"}


@pytest.mark.parametrize(
    ("behaviour", "goes"),
    [
        (answers(), False),
        (answers(connection="close"), False),
        (answers(503), False),
        (answers(body=b"x" * 300_000), False),
        (dies, False),
        (says(b"garbage\r\n\r\n"), False),
        (silence, True),
    ],
)
@live
async def test_no_end_leaves_circles_of_objects_behind(behaviour: Behaviour, goes: bool) -> None:
    """What is over is freed at once, not when Python looks for what is unreachable."""
    policy = {"timeout": "5s", "retries": {"attempts": 1, "backoff": {"base": "0s"}}}
    async with proxied(Upstream(behaviour), policy=policy) as rig:
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                client = await rig.client()
                client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
                if goes:
                    await asyncio.sleep(0.01)
                else:
                    await client.response()
                client.close()
            await settle(lambda: not rig.served(), "the proxy has closed its clients' connections")
            await rig.at_rest()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found = {type(each).__name__ for each in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert not found & OURS
