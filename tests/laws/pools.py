"""Law: what becomes of the connections to a host that is ejected (SEMANTICS 14).

Idle ones close at once, busy ones when they are free; who waits for the host gets new ones, which stay. The
room that they leave under `max_connections` is taken by whoever next asks another host, and by those who wait
there before.
"""

from __future__ import annotations

import asyncio
from typing import Any

from findings import Finding, exactly
from subjects import Service, Subject
from traffic import Answer, Connection, Host, Reply, always, in_turn, leave

LAW = "connections of an ejected host"
SPACING = 0.005
"""Between requests that are to come in order, s."""
ROOM = 8
"""Connections that the two hosts of `_other` may have."""


def _ejects(share: str, panic: str, connections: int) -> dict[str, Any]:
    """A policy that ejects for long at the first failure, up to a share of the hosts."""
    detection = {
        "consecutive_5xx": 1, "interval": "60s", "base_ejection_time": "60s", "max_ejection_percent": share,
        "min_health_percent": panic,
    }  # fmt: skip
    return {"outlier_detection": detection, "circuit_breaker": {"max_connections": connections}}


async def measure(subject: Subject) -> list[Finding]:
    """Hosts that are ejected with connections idle and busy, with requests waiting, and beside another."""
    busy = Host(in_turn([Reply(after=0.03), Reply(after=0.3), Reply(500, after=0.1)]))
    queue = Host(in_turn([Reply(500, after=0.05), Reply(after=0.05)]))
    pair = [Host(), Host()]
    services = {
        "busy": Service.of(_ejects("100%", "100%", 3), busy),
        "queue": Service.of(_ejects("100%", "100%", 1), queue),
        "other": Service.of(_ejects("50%", "0%", ROOM), *pair),
    }
    async with subject.run(services) as running:
        return [
            await _busy(running.urls["busy"], busy),
            await _queue(running.urls["queue"], queue),
            await _other(running.urls["other"], *pair),
        ]


async def _send(port: int, n: int) -> tuple[list[Connection], list[asyncio.Task[Answer]]]:
    """So many requests in order, none of which waits for the answer to the one before."""
    connections: list[Connection] = []
    waits: list[asyncio.Task[Answer]] = []
    for _ in range(n):
        connections.append(await Connection.open(port))
        waits.append(asyncio.create_task(connections[-1].ask()))
        await asyncio.sleep(SPACING)
    return connections, waits


async def _busy(port: int, host: Host) -> Finding:
    """Of three, one is idle, one is busy, and one brings the failure."""
    connections, waits = await _send(port, 3)
    await asyncio.sleep(0.06)
    found = [len(host.connections)]
    await asyncio.sleep(0.12)
    found.append(len(host.connections))
    await asyncio.gather(*waits)
    await asyncio.sleep(0.05)
    found.append(len(host.connections))
    await leave(connections, waits)
    return exactly(LAW, "one idle, one busy, one fails: open before, then, when the busy one is free",
                   [3, 1, 0], found)  # fmt: skip


async def _queue(port: int, host: Host) -> Finding:
    """One connection; three requests wait for it when it brings the failure."""
    connections, waits = await _send(port, 4)
    statuses = [answer.status for answer in await asyncio.gather(*waits)]
    await asyncio.sleep(0.05)
    found = [statuses.count(200), host.opened, len(host.connections)]
    await leave(connections, waits)
    return exactly(LAW, "three wait for it: answered, connections opened, left open", [3, 2, 1], found)


async def _other(port: int, bad: Host, good: Host) -> Finding:
    """Each host has half of the connections; one becomes slow, and as many wait for it; the other fails."""
    bad.script = good.script = always(Reply(after=0.05))
    sent = [await _send(port, ROOM)]
    await asyncio.gather(*sent[0][1])
    bad.script, good.script = always(Reply()), always(Reply(silent=True))
    sent.append(await _send(port, 2 * ROOM - 2))
    bad.script = always(Reply(500))
    asked = len(bad.arrivals)
    while len(bad.arrivals) == asked:
        sent.append(await _send(port, 1))
    await asyncio.sleep(0.1)
    found = [len(bad.connections), len(good.connections)]
    sent.append(await _send(port, 1))
    await asyncio.sleep(0.1)
    found.append(len(good.connections))
    for connections, waits in sent:
        await leave(connections, waits)
    case = f"it had {ROOM // 2} of {ROOM}, others wait elsewhere: open here, there, there after one more"
    return exactly(LAW, case, [0, ROOM // 2, ROOM], found)
