"""A child's line to its launcher, where the launcher is slow to read."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator

import pytest

from meshsim.live import Message
from meshsim.live.child import Channel

BIG = {"stats": "x" * 10_000}
"""More than the pipe takes, and more than a pipe takes as one piece."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int, int]]:
    """Where the launcher reads, and the child's two ends; one page between them."""
    reading, outgoing = os.pipe()
    incoming, writing = os.pipe()
    fcntl.fcntl(outgoing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, incoming, outgoing
    for end in (reading, outgoing, incoming, writing):
        os.close(end)


def lines(reading: int, count: int) -> list[Message]:
    """So many messages, as the launcher reads them."""
    data = b""
    while data.count(b"\n") < count:
        data += os.read(reading, 1000)
    return [json.loads(line) for line in data.splitlines()]


def test_what_is_offered_to_a_launcher_that_does_not_read_stops_nothing(pipe: tuple[int, int, int]) -> None:
    reading, incoming, outgoing = pipe

    async def child() -> list[Message]:
        loop = asyncio.get_running_loop()
        channel = Channel(incoming, outgoing)
        channel.listen(loop)
        channel.offer(BIG)
        channel.offer({"stats": "too much"})  # is not sent at all
        told = asyncio.ensure_future(asyncio.to_thread(lines, reading, 1))
        first = await asyncio.wait_for(told, 60.0)  # goes on when the launcher reads
        channel.offer({"stats": "again"})
        last = await asyncio.to_thread(lines, reading, 1)
        loop.remove_reader(incoming)
        return first + last

    assert asyncio.run(child()) == [BIG, {"stats": "again"}]


def test_what_is_sent_comes_whole_and_after_what_was_offered(pipe: tuple[int, int, int]) -> None:
    reading, incoming, outgoing = pipe

    async def child() -> list[Message]:
        loop = asyncio.get_running_loop()
        channel = Channel(incoming, outgoing)
        channel.listen(loop)
        channel.offer(BIG)
        told = asyncio.ensure_future(asyncio.to_thread(lines, reading, 3))
        await asyncio.sleep(0)
        channel.send({"done": True})
        channel.send({"rows": 0}, b"")
        loop.remove_reader(incoming)
        return await told

    assert asyncio.run(child()) == [BIG, {"done": True}, {"rows": 0}]
