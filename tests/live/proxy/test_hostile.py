"""Hostile clients: what reaches an upstream is one well-formed request, or nothing; the proxy serves on.

What upstreams get is read by h11, which knows nothing of the reader that let it pass.
"""

from __future__ import annotations

import asyncio
import random

import h11
import pytest

from meshsim.live.wire import Limits
from tests.live.proxy.ends import HOST, Client, Message, Upstream, answers, chunked, settle
from tests.live.proxy.rig import live, proxied

LINE = b"POST / HTTP/1.1\r\nhost: cart\r\n"
INNER = b"GET /smuggled HTTP/1.1\r\nhost: cart\r\n\r\n"
HIDDEN = b"0\r\n\r\n" + INNER

SMUGGLED = {
    "length and chunks": LINE
    + b"content-length: %d\r\ntransfer-encoding: chunked\r\n\r\n" % len(HIDDEN)
    + HIDDEN,
    "chunks and length": LINE + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n" + HIDDEN,
    "two lengths": LINE + b"content-length: 0\r\ncontent-length: %d\r\n\r\n" % len(INNER) + INNER,
    "the same length twice": LINE + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc",
    "a list of lengths": LINE + b"content-length: 3, 3\r\n\r\nabc",
    "a signed length": LINE + b"content-length: +3\r\n\r\nabc",
    "a negative length": LINE + b"content-length: -1\r\n\r\n",
    "a length in hex": LINE + b"content-length: 0x3\r\n\r\nabc",
    "a length with an underscore": LINE + b"content-length: 1_0\r\n\r\n0123456789",
    "a length beyond all bounds": LINE + b"content-length: 99999999999999999999999\r\n\r\nabc",
    "chunked, misspelt": LINE + b"transfer-encoding: xchunked\r\n\r\n" + HIDDEN,
    "chunked, quoted": LINE + b'transfer-encoding: "chunked"\r\n\r\n' + HIDDEN,
    "chunked, with a tab": LINE + b"transfer-encoding:\tchunked\x0b\r\n\r\n" + HIDDEN,
    "chunked twice": LINE + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n" + HIDDEN,
    "chunked, in a list": LINE + b"transfer-encoding: gzip, chunked\r\n\r\n" + HIDDEN,
    "white space before the colon": LINE + b"transfer-encoding : chunked\r\n\r\n" + HIDDEN,
    "a folded line": LINE + b"x: 1\r\n transfer-encoding: chunked\r\n\r\n" + HIDDEN,
    "a folded encoding": LINE + b"transfer-encoding:\r\n chunked\r\n\r\n" + HIDDEN,
    "bare LF": LINE + b"x: 1\ntransfer-encoding: chunked\r\n\r\n" + HIDDEN,
    "bare CR": LINE + b"x: 1\rtransfer-encoding: chunked\r\n\r\n" + HIDDEN,
    "bare LF everywhere": LINE.replace(b"\r\n", b"\n") + b"content-length: 3\n\nabc",
    "a NUL": LINE + b"x: a\x00b\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\n" + HIDDEN,
    "two hosts": b"GET / HTTP/1.1\r\nhost: cart\r\nhost: frontend\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a host with a space": b"GET / HTTP/1.1\r\nhost: cart x\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nhost: cart/x\r\n\r\n",
    "a host with a user": b"GET / HTTP/1.1\r\nhost: a@cart\r\n\r\n",
    "a chunk size that is none": LINE + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n" + HIDDEN,
    "a signed chunk size": LINE + b"transfer-encoding: chunked\r\n\r\n+3\r\nabc\r\n" + HIDDEN,
    "a chunk size in 0x": LINE + b"transfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n" + HIDDEN,
    "a huge chunk size": LINE + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n" + HIDDEN,
    "a chunk too short": LINE + b"transfer-encoding: chunked\r\n\r\n5\r\nabc\r\n" + HIDDEN,
    "a chunk that ends in LF": LINE + b"transfer-encoding: chunked\r\n\r\n3\nabc\n" + HIDDEN,
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nhost: cart\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nhost: cart\r\n\r\n",
    "a fragment": b"GET /#x HTTP/1.1\r\nhost: cart\r\n\r\n",
    "a method of LF": b"GET\n / HTTP/1.1\r\nhost: cart\r\n\r\n",
    "a header without a name": LINE + b": x\r\n\r\n",
    "a header without a colon": LINE + b"what\r\n\r\n",
}


class Recorder(Upstream):
    """An upstream that keeps every byte and answers whatever looks like a head."""

    def __init__(self) -> None:
        super().__init__()
        self.raw: list[bytearray] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = bytearray()
        self.raw.append(kept)
        while data := await reader.read(65536):
            kept += data
            if b"\r\n\r\n" in data:
                await answers()(Message(b"GET / HTTP/1.1", []), writer)
        writer.close()


def read_by_h11(raw: bytes) -> list[bytes]:
    """Targets of the requests that a strict reader finds in these bytes."""
    found = []
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            found.append(event.target)
        elif isinstance(event, h11.EndOfMessage):
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
        elif event in (h11.NEED_DATA, h11.PAUSED):
            return found


@pytest.mark.parametrize("name", SMUGGLED)
@live
async def test_both_sides_read_the_same(name: str) -> None:
    recorder = Recorder()
    async with proxied(recorder) as rig:
        client = await rig.client()
        client.send(SMUGGLED[name])
        answer = await client.response()
        assert 400 <= answer.status < 600
        assert answer.get("connection") == b"close"
        assert await client.rest() == b""
        for raw in filter(
            None, recorder.raw
        ):  # of a body that broke, the head has gone upstream: one, and never whole
            assert read_by_h11(bytes(raw)) in ([], [b"/"])
            assert b"smuggled" not in raw
        assert (await rig.ask()).status == 200


@live
async def test_what_follows_a_body_is_the_next_request_for_both() -> None:
    recorder = Recorder()
    async with proxied(recorder) as rig:
        client = await rig.client()
        client.send(LINE + b"transfer-encoding: chunked\r\n\r\n" + chunked(b"abc") + INNER)
        assert [(await client.response()).status for _ in range(2)] == [200, 200]
        assert read_by_h11(b"".join(bytes(raw) for raw in recorder.raw)) == [b"/", b"/smuggled"]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (b"/a%0d%0ax-evil:%201", b""),
        (b"/?q=%0a%0aGET%20/evil", b""),
        (b"/", b"x-request-id: a%0d%0ax-evil: 1\r\n"),
        (b"/", b"x-meshsim: 00000000000000ff;1.0;0;0;0%0d%0ax-evil: 1\r\n"),
        (b"/", b"connection: x-request-id, host, content-length\r\n"),
        (b"/", b"x-envoy-attempt-count: 99\r\nx-envoy-attempt-count: 98\r\n"),
    ],
)
@live
async def test_no_header_is_injected(target: bytes, headers: bytes) -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(b"GET " + target + b" HTTP/1.1\r\nhost: cart\r\n" + headers + b"\r\n")
        assert (await client.response()).status == 200
        (request,) = rig.seen
        names = [name for name, _ in request.headers]
        assert b"x-evil" not in names
        assert request.target == target
        assert names.count(b"host") == 1
        assert request.get("x-envoy-attempt-count") == b"1"


@live
async def test_a_response_injects_no_header() -> None:
    async def evil(request: Message, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx: a\rx-evil: 1\r\ncontent-length: 0\r\n\r\n")

    async with proxied(Upstream(evil)) as rig:
        answer = await rig.ask()
        assert answer.status == 502
        assert b"x-evil" not in [name for name, _ in answer.headers]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: cart\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: cart\r\nx: " + b"y" * 200_000,
        b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: cart\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: cart\r\n" + b"x: y\r\n" * 101 + b"\r\n",
    ],
)
@live
async def test_a_head_that_is_too_long(head: bytes) -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(head)
        assert (await client.response()).status == 431
        assert await client.rest() == b""
        assert not rig.seen


@live
async def test_refusals_are_counted_and_logged() -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(b"nonsense\r\n\r\n")
        assert (await client.response()).status == 400
        (line,) = await rig.logged()
        assert (line["response_code"], line["response_flags"], line["method"]) == (400, "DPE", None)


@live
async def test_a_slow_head_ends_in_time_and_hinders_nobody() -> None:
    async with proxied() as rig:
        for one in rig.proxy.listening.values():
            one.limits = type(one.limits)(header_timeout=0.2)
        slow = [await rig.client() for _ in range(50)]
        for client in slow:
            client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n")
        await settle(lambda: len(rig.served()) == 50, "it has accepted all of them")
        for one in rig.proxy.listening.values():
            one.limits = Limits()

        async def drip() -> None:
            while True:
                for client in slow:
                    client.send(b"x: y\r\n")
                await asyncio.sleep(0.02)

        dripping = asyncio.ensure_future(drip())
        for _ in range(20):
            assert (await rig.ask()).status == 200
        assert [(await client.response()).status for client in slow] == [408] * 50
        dripping.cancel()


@live
async def test_a_truncated_body_is_no_request() -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(LINE + b"content-length: 10\r\n\r\nabc")
        await settle(lambda: len(rig.seen) == 1, "the upstream has the head")
        client.writer.write_eof()
        assert await client.rest() == b""
        assert (await rig.outcome())[:2] == (0, "DC")
        await settle(lambda: not rig.upstream.connections, "the upstream learns it by the connection's end")


@live
async def test_many_pipelined_requests_at_once() -> None:
    count = 3000
    async with proxied() as rig:
        client = await rig.client()
        client.send(b"GET / HTTP/1.1\r\nhost: nowhere\r\n\r\n" * count)
        for _ in range(count):
            assert (await client.response()).status == 404


async def _garbage(rig_port: int, rng: random.Random) -> None:
    """One connection of nonsense, some of it nearly sense."""
    pieces = [
        b"GET / HTTP/1.1\r\n", b"host: cart\r\n", b"\r\n", b"content-length: 5\r\n", b"5\r\nhello\r\n",
        b"transfer-encoding: chunked\r\n", b"0\r\n\r\n", b"\x00", b"\n", b"\r", b"x: y\r\n", b"GET", b" ",
        b"POST / HTTP/1.1\r\n", b"connection: upgrade\r\nupgrade: h2c\r\n", b"expect: 100-continue\r\n",
    ]  # fmt: skip
    if rng.random() < 0.3:
        data = rng.randbytes(rng.randrange(1, 300))
    else:
        data = b"".join(rng.choices(pieces, k=rng.randrange(1, 12)))
    try:
        reader, writer = await asyncio.open_connection(HOST, rig_port)
        writer.write(data)
        if rng.random() < 0.5:
            writer.write_eof()
            await reader.read()
        writer.transport.abort()
    except ConnectionError:
        pass


async def _bombard(count: int) -> None:
    rng = random.Random(11)
    async with proxied() as rig:
        for _ in range(count // 50):
            await asyncio.gather(*(_garbage(rig.ports["outbound"], rng) for _ in range(50)))
            client: Client = await rig.client()
            assert (await client.ask()).status == 200
            client.close()
        for request in rig.seen:
            assert request.target == b"/"
        refused = rig.proxy.unrouted.answers[400, "DPE", "", ""].count
        assert refused > count / 4, f"only {refused} were refused"


@live
async def test_ten_thousand_connections_of_garbage_leave_the_proxy_serving() -> None:
    await _bombard(10_000)
