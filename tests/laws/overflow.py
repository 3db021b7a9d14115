"""Law (c): how many of k simultaneous requests to one HTTP/1 host overflow (SEMANTICS 4, 13).

With c connections allowed and p requests that may wait, k - c - p overflow where the connections are there,
and k - p where they are not: a request waits for its connection, so even the first ones are in the queue.
"""

from __future__ import annotations

import asyncio

from findings import Finding, exactly
from subjects import Service, Subject
from traffic import Connection, Host, Reply, always, burst, new_key

LAW = "overflow"
LIMITS = [(1, 1), (2, 3), (3, 2), (4, 8)]
"""Connections and waiting requests allowed."""
SIZES = (1, 3, 6, 12, 20)
REPEATS = 3
HELD = 0.08
"""How long the host takes for an answer, s: much longer than a burst."""


async def measure(subject: Subject) -> list[Finding]:
    """Bursts on services of their own, cold and warm."""
    rounds = [(c, p, k) for c, p in LIMITS for k in SIZES for _ in range(REPEATS)]
    services, hosts = {}, []
    for number, (c, p, _) in enumerate(rounds):
        for kind in ("cold", "warm"):
            hosts.append(Host(always(Reply(after=HELD))))
            limits = {"max_connections": c, "max_pending": p}
            services[f"{kind}-{number}"] = Service.of({"circuit_breaker": limits}, hosts[-1])
    failures: dict[tuple[str, int, int, int], list[int]] = {}
    async with subject.run(services) as running:
        for number, (c, p, k) in enumerate(rounds):
            for kind in ("cold", "warm"):
                port = running.urls[f"{kind}-{number}"]
                if kind == "warm":
                    await _warm(port, c)
                answers = await burst(port, k, running.pid)
                failed = sum(answer.status == 503 for answer in answers)
                failures.setdefault((kind, c, p, k), []).append(failed)
    return [_judge(kind, c, p, found) for kind in ("cold", "warm") for c, p in LIMITS for found in [failures]]


def _judge(kind: str, c: int, p: int, failures: dict[tuple[str, int, int, int], list[int]]) -> Finding:
    room = p if kind == "cold" else c + p
    expected = [[max(0, k - room)] * REPEATS for k in SIZES]
    measured = [failures[kind, c, p, k] for k in SIZES]
    shown = [sorted(set(each)) for each in measured]
    case = f"{kind}, c = {c}, p = {p}, k = {', '.join(map(str, SIZES))}"
    finding = exactly(LAW, case, expected, measured)
    wanted = ", ".join(str(each[0]) for each in expected)
    found = ", ".join("/".join(map(str, each)) for each in shown)
    return Finding(LAW, case, wanted, f"{found} ({REPEATS} bursts each)", finding.agrees)


async def _warm(port: int, connections: int) -> None:
    """Has the proxy open so many connections, one after the other, each while the others are in use."""
    clients = [await Connection.open(port) for _ in range(connections)]
    waits = []
    for client in clients:
        key = new_key()
        client.send(key)
        waits.append(client.answer(key, 0.0))
        await asyncio.sleep(HELD / 2 / connections)
    await asyncio.gather(*waits)
    for client in clients:
        await client.close()
