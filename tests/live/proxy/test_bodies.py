"""Bodies: what is kept for a retry, what streams, and what becomes of a transfer that is cut short."""

from __future__ import annotations

import asyncio
import socket

import pytest

from meshsim.live.proxy.exchange import REPLAY_BYTES
from tests.live.proxy.ends import (
    Client,
    Message,
    Upstream,
    answers,
    chunked,
    in_turn,
    read_body,
    settle,
    silence,
)
from tests.live.proxy.rig import live, proxied

BUSY = answers(503, b"busy")
RETRIED = {"retries": {"attempts": 3, "on": ["5xx"], "backoff": {"base": "0s"}}}


def posted(size: int, framing: str) -> bytes:
    """Head and body of a POST."""
    body = bytes(range(256)) * (size // 256)
    if framing == "length":
        return b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    return b"POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(
        body[:100], body[100:]
    )


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("size", [512, 512 * 1024])
@live
async def test_a_body_within_the_limit_is_sent_again(size: int, framing: str) -> None:
    async with proxied(Upstream(in_turn(BUSY, BUSY, answers())), policy=RETRIED) as rig:
        client = await rig.client()
        client.send(posted(size, framing))
        assert (await client.response()).status == 200
        assert [len(request.body) for request in rig.seen] == [size] * 3
        assert len({request.body for request in rig.seen}) == 1
        assert [request.get("x-envoy-attempt-count") for request in rig.seen] == [b"1", b"2", b"3"]
        assert await rig.outcome() == (200, "-", 3, 3)


@pytest.mark.parametrize("framing", ["length", "chunks"])
@live
async def test_a_body_beyond_the_limit_is_not(framing: str) -> None:
    async with proxied(Upstream(BUSY), policy=RETRIED) as rig:
        client = await rig.client()
        client.send(posted(2 * REPLAY_BYTES, framing))
        answer = await client.response()
        assert (answer.status, answer.body) == (503, b"busy")
        assert await rig.outcome() == (503, "-", 1, 1)
        (line,) = rig.log()
        assert (line["bytes_received"], line["response_code_details"]) == (2 * REPLAY_BYTES, "via_upstream")


@live
async def test_a_body_beyond_the_limit_that_waited_for_a_connection_is_not_sent_again() -> None:
    """The limit holds for what came while nothing could be sent, too."""
    async with proxied(Upstream(BUSY), policy={**RETRIED, "fault": {"delay": {"time": "50ms"}}}) as rig:
        client = await rig.client()
        client.send(posted(REPLAY_BYTES + 65536, "length"))
        assert (await client.response()).status == 503
        assert len(rig.seen) == 1


@live
async def test_a_retry_may_begin_while_the_body_still_comes() -> None:
    """The first upstream cannot be reached: what has come of the body is kept, the rest follows."""
    policy = {"retries": {"attempts": 4, "on": ["connect-failure"], "backoff": {"base": "0s"}}}
    async with proxied(Upstream(), refusing=1, policy=policy) as rig:
        for _ in range(4):
            client = await rig.client()
            client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 6\r\n\r\nabc")
            await asyncio.sleep(0.03)
            client.send(b"def")
            assert (await client.response()).status == 200
        assert [request.body for request in rig.seen] == [b"abcdef"] * 4
        lines = await rig.logged(4)
        assert {line["attempt_count"] for line in lines} == {1, 2}


@live
async def test_an_early_503_is_retried_with_the_rest_of_the_body() -> None:
    async def early(request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.number == 0:
            await BUSY(request, writer)
            await reader.read()
        else:
            request.body = await read_body(reader, request, until_close=False)
            await answers()(request, writer)

    async with proxied(Upstream(early=early), policy=RETRIED) as rig:
        client = await rig.client()
        client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 6\r\n\r\nabc")
        await settle(lambda: len(rig.seen) == 2, "it is sent again")
        client.send(b"def")
        assert (await client.response()).status == 200
        assert rig.seen[1].body == b"abcdef"


@live
async def test_an_early_answer_ends_the_transfer() -> None:
    async def early(request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answers(413, b"too long")(request, writer)
        await reader.read()

    async with proxied(Upstream(early=early)) as rig:
        client = await rig.client()
        client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 100000000\r\n\r\n" + b"x" * 1000)
        answer = await client.response()
        assert (answer.status, answer.body, answer.get("connection")) == (413, b"too long", b"close")
        assert await client.rest() == b""


async def echo(request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers while it reads."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %b\r\n\r\n" % (request.get("content-length") or b"0"))
    left = int(request.get("content-length") or b"0")
    while left:
        data = await reader.read(65536)
        left -= len(data)
        writer.write(data)
        await writer.drain()


@pytest.mark.parametrize("timeout", ["0s", "400ms"])
@live
async def test_request_and_response_stream_at_the_same_time(timeout: str) -> None:
    async with proxied(Upstream(early=echo), policy={"timeout": timeout}) as rig:
        client = await rig.client()
        client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 4\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n")
        for byte in (b"a", b"b", b"c", b"d"):
            client.send(byte)
            assert await client.reader.readexactly(1) == byte
            await asyncio.sleep(0.15)  # all of it takes longer than the time-out, which begins at the end
        assert (await client.ask(body=b"again")).body == b"again"
        (first, _) = await rig.logged(2)
        assert (first["response_code"], first["bytes_received"], first["bytes_sent"]) == (200, 4, 4)


# ---- cut short ------------------------------------------------------------------------------------------


async def half(request: Message, writer: asyncio.StreamWriter) -> None:
    """The half of a response, and then nothing."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.")


@live
async def test_a_route_timeout_cuts_a_response_off() -> None:
    async with proxied(Upstream(half), policy={"timeout": "300ms", **RETRIED}) as rig:
        client = await rig.client()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        await client.reader.readuntil(b"half.")
        assert isinstance(await client.ended(), ConnectionResetError)
        assert await rig.outcome() == (200, "UT", 1, 1)
        (line,) = rig.log()
        assert line["response_code_details"] == "response_timeout"
        assert 295 <= line["duration"] < 5000
        assert line["bytes_sent"] == 5
        await settle(lambda: not rig.upstream.connections, "the upstream's connection is closed")


@live
async def test_a_route_timeout_before_the_response() -> None:
    async with proxied(Upstream(silence), policy={"timeout": "50ms", **RETRIED}) as rig:
        client = await rig.client()
        answer = await client.ask()
        assert (answer.status, answer.body) == (504, b"upstream request timeout")
        assert await rig.outcome() == (504, "UT", 1, 1)
        await settle(lambda: not rig.upstream.connections, "the upstream's connection is closed")


@live
async def test_a_timeout_begins_with_the_end_of_the_request() -> None:
    async with proxied(policy={"timeout": "300ms"}) as rig:
        client = await rig.client()
        client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 2\r\n\r\na")
        await asyncio.sleep(0.4)
        client.send(b"b")
        assert (await client.response()).status == 200


@live
async def test_a_client_that_goes_while_it_waits() -> None:
    async with proxied(Upstream(silence), policy=RETRIED) as rig:
        client = await rig.client()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        await settle(lambda: len(rig.seen) == 1, "the upstream has the request")
        client.close()
        assert await rig.outcome() == (0, "DC", 1, 1)
        assert rig.log()[0]["response_code_details"] == "downstream_remote_disconnect"
        await settle(lambda: not rig.upstream.connections, "the upstream's connection is closed")
        await rig.at_rest()


@live
async def test_a_client_that_goes_in_the_middle_of_its_request() -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 100\r\n\r\nabc")
        await settle(lambda: len(rig.seen) == 1, "the upstream has the head")
        client.close()
        assert await rig.outcome() == (0, "DC", 1, 1)
        await settle(lambda: not rig.upstream.connections, "the upstream's connection is closed")


@live
async def test_a_client_that_goes_in_the_middle_of_its_answer() -> None:
    async with proxied(Upstream(half)) as rig:
        client = await rig.client()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        await client.reader.readuntil(b"half.")
        client.close()
        assert await rig.outcome() == (200, "DC", 1, 1)
        await settle(lambda: not rig.upstream.connections, "the upstream's connection is closed")


@live
async def test_a_client_that_goes_during_a_back_off() -> None:
    policy = {"retries": {"attempts": 3, "backoff": {"base": "60s", "max": "60s"}}}
    async with proxied(Upstream(BUSY), policy=policy) as rig:
        client = await rig.client()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        await settle(lambda: rig.busy() == {"retries": 1}, "a retry waits")
        client.close()
        assert await rig.outcome() == (0, "DC", 1, 1)


@live
async def test_a_broken_body_ends_the_call() -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await settle(lambda: len(rig.seen) == 1, "the upstream has the head")
        client.send(b"zz\r\n")
        assert (await client.response()).status == 400
        await settle(lambda: not rig.upstream.connections, "the upstream's connection is closed")


# ---- back-pressure --------------------------------------------------------------------------------------


async def waits(request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads nothing for a while."""
    await asyncio.sleep(0.3)
    request.body = await read_body(reader, request, until_close=False)
    await answers(body=b"%d" % len(request.body))(request, writer)


async def fill(client: Client, size: int) -> None:
    """Sends so much, as fast as it is taken."""
    client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: %d\r\n\r\n" % size)
    piece = b"x" * 262144
    for _ in range(size // len(piece)):
        client.send(piece)
        await client.writer.drain()


@pytest.mark.parametrize("delay", ["0s", "100ms"])
@live
async def test_an_upstream_that_does_not_read_holds_the_client_up(delay: str) -> None:
    """From the first byte on, and where all that may be kept is sent at once, too."""
    size = 32 << 20
    fault = {"fault": {"delay": {"time": delay}}} if delay != "0s" else {}
    async with proxied(Upstream(early=waits, narrow=True), policy=fault) as rig:
        client = await rig.client()
        await client.ask()
        for each in rig.idle():  # the system keeps next to nothing of what is sent on it
            each.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sending = asyncio.ensure_future(fill(client, size))
        most = 0
        while not sending.done():
            await asyncio.sleep(0.01)
            for way in rig.connections():
                most = max(most, way.transport.get_write_buffer_size())
        assert (await client.response()).body == b"%d" % size
        assert most <= REPLAY_BYTES + 2 * 262144, f"{most} bytes were waiting in the proxy"


@live
async def test_a_client_that_does_not_read_holds_the_upstream_up() -> None:
    size = 32 << 20
    written = 0

    async def pours(request: Message, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        piece = b"x" * 262144
        while written < size:
            writer.write(piece)
            written += len(piece)
            await writer.drain()

    async with proxied(Upstream(pours)) as rig:
        client = await rig.client()
        client.writer.transport.pause_reading()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        await asyncio.sleep(0.4)
        waiting = [each.transport.get_write_buffer_size() for each in rig.served()]
        assert max(waiting) <= 2 * 262144, f"{waiting} bytes were waiting in the proxy"
        assert written < size, "the upstream could write all of it"
        client.writer.transport.resume_reading()
        assert len((await client.response()).body) == size


@live
async def test_a_call_is_over_with_the_last_byte_of_its_response() -> None:
    """In the live table, the access log and the results alike; what still comes is not over."""

    async def slowly(request: Message, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\n12345")
        if request.number:
            await asyncio.sleep(60.0)
        await asyncio.sleep(0.2)
        writer.write(b"67890")

    async with proxied(Upstream(slowly)) as rig:
        assert (await rig.ask()).body == b"1234567890"
        client = await rig.client()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        await settle(lambda: len(rig.seen) == 2, "the second has come")
        await asyncio.sleep(0.1)
        rows = rig.proxy.rows()
        lasted = rows["calls.end"][0] - rows["calls.start"][0]
        assert lasted > 0.15  # a loop may wake a little early; the head came at once
        assert rows["calls.end"][1] != rows["calls.end"][1]
        client.close()
