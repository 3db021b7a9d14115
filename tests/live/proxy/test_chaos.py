"""Clients and upstreams that break off at any point, under every policy: all is counted once and let go."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from meshsim.live.wire import Limits
from tests.live.proxy.ends import Client, Message, Upstream, answers, chunked, read_body, settle
from tests.live.proxy.rig import Rig, live, proxied

SOON = {"base": "5ms", "max": "20ms"}
POLICIES: dict[str, dict[str, Any]] = {
    "none": {},
    "time-out": {"timeout": "80ms"},
    "retries": {
        "timeout": "200ms",
        "retries": {"attempts": 2, "on": ["5xx", "reset", "connect-failure"], "per_try_timeout": "50ms",
                    "backoff": SOON},
    },
    "hedge": {"timeout": "200ms", "hedge": {"after": "20ms", "max": 1}},
    "faults": {
        "fault": {"delay": {"percent": "30%", "time": "20ms"}, "abort": {"percent": "10%", "status": 503}}
    },
    "breaker": {
        "timeout": "150ms",
        "circuit_breaker": {"max_connections": 3, "max_pending": 3, "max_requests": 3, "max_retries": 2},
        "retries": {"attempts": 3, "backoff": SOON},
    },
    "outliers": {
        "timeout": "100ms",
        "balance": "least_request",
        "outlier_detection": {"consecutive_5xx": 3, "interval": "50ms", "base_ejection_time": "50ms",
                              "max_ejection_percent": "100%"},
    },
}  # fmt: skip
LINK = {"links": {"default": {"latency": "5ms", "loss": "5%"}}}
PAUSES = [0.0, 0.0, 0.005, 0.03, 0.1]
BROKEN = [
    b"garbage\r\n\r\n", b"HTTP/1.1 2", b"HTTP/1.1 100 C\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n",
]  # fmt: skip


class Moody:
    """An upstream of which nobody knows what it does next."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    async def __call__(
        self, request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await self.act(request, reader, writer)
        except (AssertionError, RuntimeError):  # what the other side broke off, read or written on
            writer.transport.abort()

    async def act(self, request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rng = self.rng
        mood = rng.choice(["answer"] * 4 + ["early", "stream", "reset", "until close", "broken", "echo"])
        await asyncio.sleep(rng.choice(PAUSES))
        if mood == "reset":
            writer.transport.abort()
            return
        if mood == "broken":
            writer.write(rng.choice(BROKEN))
            await asyncio.sleep(rng.choice(PAUSES))
            writer.close()
            return
        if mood == "early":
            await answers(rng.choice([200, 503]), b"early")(request, writer)
            await reader.read(100_000)
            writer.close()
            return
        if mood == "echo":
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        request.body = await read_body(reader, request, until_close=False)
        if mood == "echo":
            writer.write(chunked(b"done"))
        elif mood == "answer":
            status = rng.choice([200, 200, 503, 429, 204, 304])
            close = {"connection": "close"} if rng.random() < 0.2 else {}
            await answers(status, b"x" * rng.choice([0, 5, 70_000]), **close)(request, writer)
        elif mood == "until close":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil")
            await asyncio.sleep(rng.choice(PAUSES))
            writer.close()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(5):
                writer.write(b"3\r\nabc\r\n")
                await asyncio.sleep(rng.choice(PAUSES) / 2)
            writer.write(b"0\r\n" + rng.choice([b"", b"connection: close\r\n"]) + b"\r\n")


async def send(client: Client, rng: random.Random) -> bool:
    """A request; whether it was sent to its end."""
    host = b"cart" if rng.random() < 0.95 else b"nowhere"
    kind = rng.randrange(3)
    if kind == 0:
        client.send(rng.choice([b"GET", b"HEAD"]) + b" / HTTP/1.1\r\nhost: " + host + b"\r\n\r\n")
        return True
    pieces = [b"y" * rng.choice([1, 3000, 90_000]) for _ in range(rng.randrange(1, 4))]
    if kind == 1:
        framing = b"content-length: %d" % sum(map(len, pieces))
    else:
        framing = b"transfer-encoding: chunked"
        pieces = [*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]
        if rng.random() < 0.15:
            pieces[-1] = b"zz\r\n"
    client.send(b"POST / HTTP/1.1\r\nhost: " + host + b"\r\n" + framing + b"\r\n\r\n")
    for piece in pieces:
        await asyncio.sleep(rng.choice(PAUSES))
        if rng.random() < 0.08:
            return False
        client.send(piece)
    return True


async def fickle(rig: Rig, rng: random.Random) -> int:
    """A client that goes when it likes; how many requests it began."""
    client = await rig.client()
    begun = 0
    try:
        for _ in range(rng.randrange(1, 5)):
            begun += 1
            if not await send(client, rng) or rng.random() < 0.2:
                await asyncio.sleep(rng.choice(PAUSES))
                return begun
            if rng.random() < 0.8:  # or the next one is pipelined
                await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 1.0)
                if rng.random() < 0.3:
                    return begun
    except (ConnectionError, TimeoutError, RuntimeError, asyncio.IncompleteReadError):
        pass  # the proxy has closed, or what came was read already
    except asyncio.LimitOverrunError:
        pass
    finally:
        client.close()
    return begun


@pytest.mark.long
@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("name", POLICIES)
@live
async def test_whatever_happens_is_counted_once_and_let_go(name: str, link: bool) -> None:
    """The rig looks for gauges, books and descriptors in the end."""
    rng = random.Random(f"{name} {link}")
    upstreams = [Upstream(early=Moody(rng)) for _ in range(2)]
    more: dict[str, Any] = LINK if link else {}
    async with proxied(*upstreams, policy=POLICIES[name], refusing=int(link), **more) as rig:
        for one in rig.proxy.listening.values():
            one.limits = Limits(stream_idle_timeout=0.4)
        begun = 0
        for _ in range(4):
            begun += sum(await asyncio.gather(*(fickle(rig, rng) for _ in range(25))))
        await settle(lambda: not rig.served(), "the proxy closes its clients' connections")
        await rig.at_rest()
        lines = rig.log()
        series = [*(route.series for route in rig.proxy.routes.values()), rig.proxy.unrouted]
        counted = sum(answers.count for each in series for answers in each.answers.values())
        assert begun / 2 < len(lines) <= begun
        assert counted == len(lines)
        assert all(line["duration"] >= 0 for line in lines)
        rows = rig.proxy.rows()
        assert (rows["calls.end"] >= rows["calls.start"]).all()  # which no NaN is
        assert (rows["attempts.ended"] >= rows["attempts.sent"]).all()
