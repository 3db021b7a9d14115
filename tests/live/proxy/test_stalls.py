"""Exchanges in which nothing moves any longer, and those that their client breaks off.

What is expected was measured on Envoy 1.40 with `stream_idle_timeout`.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from meshsim.live.proxy.listener import Listener
from meshsim.live.wire import Limits
from tests.live.proxy.ends import Message, Upstream, answers, read_body, settle, silence
from tests.live.proxy.rig import Rig, live, proxied

HALF = b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 10\r\n\r\nabc"
CHUNKED = b"POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
SHORT = 0.3
"""The limit, s."""


def impatient(rig: Rig) -> Rig:
    """Its listeners wait for 0.3 s."""
    for one in rig.proxy.listening.values():
        one.limits = Limits(stream_idle_timeout=SHORT)
    return rig


async def said(rig: Rig) -> tuple[int, str, str]:
    """Status, flags and details of the only line of the access log, once nothing is under way."""
    (line,) = await rig.logged()
    await rig.at_rest()
    assert sum(each.count for each in rig.proxy.unrouted.answers.values()) == 0, "it is counted twice"
    return line["response_code"], line["response_flags"], line["response_code_details"]


async def half(request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Half of a response before the request is whole, and then nothing."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.")
    await reader.read()


async def nothing(request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads, and never answers."""
    while await reader.read(65536):
        pass


# ---- nothing moves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [False, True])
@live
async def test_half_a_body_and_then_nothing(delay: bool) -> None:
    """Whether its call is under way, or waits out a fault."""
    policy = {"fault": {"delay": {"time": "30s"}}} if delay else {}
    async with proxied(Upstream(early=nothing), policy=policy) as rig:
        client = await impatient(rig).client()
        client.send(HALF)
        answer = await client.response()
        assert (answer.status, answer.body, answer.get("connection")) == (408, b"stream timeout", b"close")
        assert await client.rest() == b""
        assert await said(rig) == (408, "DI,SI" if delay else "SI", "stream_idle_timeout")
        await settle(lambda: not rig.upstream.connections, "the upstream's connection is closed")


@live
async def test_an_upstream_that_says_nothing() -> None:
    """The client's connection is as good as before."""
    async with proxied(Upstream(silence)) as rig:
        client = await impatient(rig).client()
        answer = await client.ask()
        assert (answer.status, answer.body, answer.get("connection")) == (504, b"stream timeout", None)
        assert await said(rig) == (504, "SI", "stream_idle_timeout")
        assert (await client.ask(host="nowhere")).status == 404


@pytest.mark.parametrize("request_", [HALF, b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n"])
@live
async def test_half_an_answer_and_then_nothing(request_: bytes) -> None:
    async with proxied(Upstream(early=half)) as rig:
        client = await impatient(rig).client()
        client.send(request_)
        assert await client.reader.readuntil(b"half.")
        assert isinstance(await client.ended(), ConnectionResetError)
        assert await said(rig) == (200, "SI", "stream_idle_timeout")


@live
async def test_a_client_that_does_not_read_its_answer() -> None:
    async def pours(request: Message, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 262144)
            await writer.drain()

    async with proxied(Upstream(pours)) as rig:
        client = await impatient(rig).client()
        client.writer.transport.pause_reading()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        assert await said(rig) == (200, "SI", "stream_idle_timeout")


@live
async def test_what_moves_slowly_is_let_be() -> None:
    """A body, then an answer, of which a byte comes just in time: each takes longer than the limit."""

    async def slowly(request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request.body = await read_body(reader, request, until_close=False)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        for byte in (b"a", b"b", b"c", b"d"):
            await asyncio.sleep(SHORT / 2)
            writer.write(byte)

    async with proxied(Upstream(early=slowly)) as rig:
        client = await impatient(rig).client()
        client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 4\r\n\r\n")
        for _ in range(4):
            await asyncio.sleep(SHORT / 2)
            client.send(b"x")
        assert (await client.response()).body == b"abcd"
        assert (await said(rig))[:2] == (200, "-")


@live
async def test_a_connection_may_be_idle_for_longer_than_a_request() -> None:
    async with proxied() as rig:
        client = await impatient(rig).client()
        for _ in range(3):
            assert (await client.ask()).status == 200
            await asyncio.sleep(2 * SHORT)


# ---- what breaks, or goes -------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [False, True])
@live
async def test_a_broken_body_is_one_request(apart: bool) -> None:
    """Whether the rest comes with the head or later."""
    async with proxied(Upstream(early=nothing)) as rig:
        client = await rig.client()
        client.send(CHUNKED)
        if apart:
            await settle(lambda: len(rig.seen) == 1, "the upstream has the head")
        client.send(b"zz\r\n")
        answer = await client.response()
        assert (answer.status, answer.body) == (400, b"Bad Request")
        assert await said(rig) == (400, "DPE", "http1.codec_error")
        (line,) = rig.log()
        assert (line["method"], line["path"], line["bytes_sent"]) == ("POST", "/", len(answer.body))


@live
async def test_a_broken_body_of_an_answer_that_has_begun() -> None:
    async with proxied(Upstream(early=half)) as rig:
        client = await rig.client()
        client.send(CHUNKED)
        assert await client.reader.readuntil(b"half.")
        client.send(b"zz\r\n")
        assert isinstance(await client.ended(), ConnectionResetError)
        assert await said(rig) == (200, "DPE", "http1.codec_error")


@live
async def test_a_broken_body_of_what_has_no_route_is_no_second_request() -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(CHUNKED.replace(b"cart", b"nowhere") + b"zz\r\n")
        assert (await client.response()).status == 404
        (line,) = await rig.logged()
        assert (line["response_code"], line["response_flags"]) == (404, "NR")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"nonsense\r\n\r\n", (400, "DPE", "http1.codec_error")),
        (b"GET / HTTP/1.1\r\nhost: cart\r\n", (408, "-", "request_header_timeout")),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, (431, "DPE", "http1.headers_too_large")),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", (404, "NR", "route_not_found")),
        (
            b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
            (501, "DPE", "http1.invalid_transfer_encoding"),
        ),
        (
            b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            (403, "-", "upgrade_failed"),
        ),
    ],
)
@live
async def test_why_a_head_is_refused_is_logged_as_envoy_does(head: bytes, expected: tuple[Any, ...]) -> None:
    async with proxied() as rig:
        for one in rig.proxy.listening.values():
            one.limits = Limits(header_timeout=0.1 if expected[0] == 408 else 60.0)
        client = await rig.client()
        client.send(head)
        answer = await client.response()
        (line,) = await rig.logged()
        assert (line["response_code"], line["response_flags"], line["response_code_details"]) == expected
        assert line["bytes_sent"] == len(answer.body)


@live
async def test_a_client_that_goes_is_noticed_though_its_last_bytes_had_to_wait() -> None:
    """Its connection was not being read, as the upstream was slow; it has to be, once the body is whole."""
    size = 200_000

    async def slow(request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.number:
            await asyncio.sleep(0.1)
            request.body = await read_body(reader, request, until_close=False)
            await reader.read()
        else:
            await answers()(request, writer)

    async with proxied(Upstream(early=slow, narrow=True)) as rig:
        client = await rig.client()
        await client.ask()
        for each in rig.idle():
            each.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: %d\r\n\r\n" % size)
        await settle(lambda: len(rig.seen) == 2, "the upstream has the head")
        client.send(b"x" * size)
        await settle(lambda: len(rig.seen[1].body) == size, "the upstream has all of it")
        client.close()
        assert (await rig.logged(2))[1]["response_flags"] == "DC"


@live
async def test_a_pod_that_goes_down_lets_go_of_what_it_was_doing() -> None:
    app = Upstream(early=nothing)
    async with proxied(id="frontend/0", app=app) as rig:
        client = await rig.client("inbound")
        client.send(HALF)
        await settle(lambda: len(app.requests) == 1, "the application has the head")
        listener = rig.proxy.listening["inbound"].handler
        assert isinstance(listener, Listener)
        listener.abort_all()
        assert isinstance(await client.ended(), ConnectionResetError)
        assert (await said(rig))[:2] == (0, "DC")
