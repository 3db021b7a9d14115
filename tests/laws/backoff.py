"""Law (b): the wait before retry n is uniform below 25, 50, 100, 200, 250, 250 ms (SEMANTICS 3)."""

from __future__ import annotations

import asyncio
import itertools

from findings import Finding, uniform
from subjects import Service, Subject
from traffic import Connection, Host, Reply, always

LAW = "back-off"
BOUNDS = (0.025, 0.05, 0.1, 0.2, 0.25, 0.25)
"""s, before each of six retries."""
REQUESTS, AT_ONCE = 600, 20


async def measure(subject: Subject) -> list[Finding]:
    """Six retries of requests that always fail; the gaps between their arrivals at the host.

    A gap is the wait and the way there and back. How long the way is, on average, says a second service whose
    policy does not wait, which is asked in between, so that it sees the same load.
    """
    waiting, hasty = (Host(always(Reply(500))) for _ in range(2))
    retries = {"attempts": len(BOUNDS), "on": ["5xx"]}
    services = {
        "waiting": Service.of({"retries": retries}, waiting),
        "hasty": Service.of({"retries": {**retries, "backoff": {"base": "0s"}}}, hasty),
    }
    async with subject.run(services) as running:
        ports = [running.urls[name] for name in services]
        await asyncio.gather(*(_ask(ports, REQUESTS // AT_ONCE, number) for number in range(AT_ONCE)))
    way = [gap for gaps in _gaps(hasty) for gap in gaps]
    offset = sum(way) / len(way)
    columns = zip(*_gaps(waiting), strict=True)
    return [
        uniform(LAW, f"wait before retry {number}", bound, gaps, offset)
        for number, (bound, gaps) in enumerate(zip(BOUNDS, columns, strict=True), 1)
    ]


async def _ask(ports: list[int], requests: int, number: int) -> None:
    """So many requests to each of the ports, in turn."""
    await asyncio.sleep(number / 40)  # not all at once
    connections = [await Connection.open(port) for port in ports]
    for _ in range(requests):
        for connection in connections:
            await connection.ask()
    for connection in connections:
        await connection.close()


def _gaps(host: Host) -> list[list[float]]:
    """Of each call, the times between its arrivals, s."""
    calls: dict[str, list[float]] = {}
    for arrival in host.arrivals:
        calls.setdefault(arrival.key, []).append(arrival.at)
    return [[later - earlier for earlier, later in itertools.pairwise(times)] for times in calls.values()]
