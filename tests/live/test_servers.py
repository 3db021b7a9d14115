"""Listening sockets that go away and come back."""

from __future__ import annotations

import asyncio
import socket
import sys
from functools import partial

import pytest

from meshsim.live.launcher import TickClock
from meshsim.live.servers import Listening, schedule_outages
from meshsim.live.wire import Handler
from meshsim.scenario import loads
from meshsim.scenario.topology import Topology
from tests.live.proxy.ends import HOST, settle
from tests.live.proxy.rig import live


async def refused(port: int) -> bool:
    """Whether nobody listens there."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except ConnectionRefusedError:
        return True
    writer.transport.abort()
    return False


@live
async def test_it_comes_back_on_its_port() -> None:
    listening = Listening(Handler())
    port = await listening.open(HOST)
    for _ in range(3):
        assert not await refused(port)
        listening.refuse()
        assert await refused(port)
        listening.reopen()
        await settle(lambda: listening.server is not None, "it listens again")
        assert listening.port == port
    listening.close()
    assert await refused(port)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port can't be kept")
@live
async def test_nobody_gets_its_port_meanwhile() -> None:
    """The system would give it to a connection for its near end, after which it is not free for a minute."""
    other, listening = Listening(Handler()), Listening(Handler())
    await other.open(HOST)
    port = await listening.open(HOST)
    listening.refuse()
    for sharing in (0, 1):
        with socket.socket() as wanting:
            wanting.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, sharing)
            with pytest.raises(OSError, match="in use"):
                wanting.bind((HOST, port))
    listening.close()
    with socket.socket() as wanting:
        wanting.bind((HOST, port))
    other.close()


@live
async def test_a_port_that_was_lost_is_waited_for() -> None:
    listening = Listening(Handler())
    port = await listening.open(HOST)
    listening.close()
    with socket.socket() as taken:
        taken.bind((HOST, port))
        taken.listen()
        listening.reopen()
        await asyncio.sleep(0.1)
        assert listening.server is None
    await settle(lambda: listening.server is not None, "it listens again")
    listening.close()


@live
async def test_who_closes_while_it_waits_for_its_port_hears_no_more_of_it() -> None:
    listening = Listening(Handler())
    port = await listening.open(HOST)
    listening.close()
    with socket.socket() as taken:
        taken.bind((HOST, port))
        taken.listen()
        listening.reopen()
        await asyncio.sleep(0.02)
        listening.close()
    await asyncio.sleep(0.1)
    assert listening.server is None


def test_outages_that_are_over_are_nothing_to_a_replica_that_comes_later() -> None:
    text = """
duration: 9s
services: {a: {}}
load: [{to: a, rate: 1/s}]
events:
  - {at: 1s, for: 1s, service: a, down: true}
  - {at: 2s, for: 2s, replica: a/0, down: true}
  - {at: 6s, service: a, down: true}
"""
    scenario = loads(text)
    (replica,) = Topology(scenario).replicas
    for now, expected in [(-0.1, [1.0, 2.0, 2.0, 4.0, 6.0]), (2.0, [2.0, 4.0, 6.0]), (7.0, [6.0])]:
        clock, happened, seen = TickClock(), [], [0.0]
        note = partial(lambda seen, happened: happened.append(seen[0]), seen, happened)
        schedule_outages(clock, scenario, replica, now, note, note)
        for seen[0] in range(9):
            clock.advance(seen[0])
        assert happened == expected
