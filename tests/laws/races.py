"""Law: a request that meets a closing connection (SEMANTICS 14), which its proxy cannot have known.

The proxy is halted while the client sends a request and then the host closes the idle connection. When it
goes on, it finds the request first, puts it on the connection, and only then sees the end. The other way
round, it sees the end first, and opens a new one.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from codes import retries
from findings import Finding
from subjects import Running, Service, Subject
from traffic import Connection, Host, halted, new_key

LAW = "keep-alive race"
TRIALS = 30
MOMENT = 0.005
"""In which the kernel passes on what was written, s."""
CASES = [
    ("reset", True, "200 - 2"),
    ("5xx", True, "200 - 2"),
    ("gateway-error", True, "200 - 2"),
    ("reset-before-request", True, "503 UC 1"),
    ("connect-failure", True, "503 UC 1"),
    ("reset", False, "200 - 1"),
]
"""What is retried; whether the request comes before the close; and what becomes of it."""


async def measure(subject: Subject) -> list[Finding]:
    """Some trials of each case, each case on a service of its own."""
    hosts = [Host() for _ in CASES]
    services = {
        f"race-{number}": Service.of(retries(1, on), host)
        for number, ((on, _, _), host) in enumerate(zip(CASES, hosts, strict=True))
    }
    async with subject.run(services) as running:
        keys = [
            [await _race(running, running.urls[f"race-{number}"], host, first) for _ in range(TRIALS)]
            for number, ((_, first, _), host) in enumerate(zip(CASES, hosts, strict=True))
        ]
        await asyncio.sleep(0.1)
    return [_judge(running, case, tried) for case, tried in zip(CASES, keys, strict=True)]


async def _race(running: Running, port: int, host: Host, first: bool) -> str:
    """One request, and the close of the only connection before or after it; the key of its call."""
    client = await Connection.open(port)
    await client.ask()
    await asyncio.sleep(MOMENT)
    key = new_key()
    with halted(running.pid):
        if first:
            client.send(key)
            await asyncio.sleep(MOMENT)
        host.close_all()
        await asyncio.sleep(MOMENT)
        if not first:
            client.send(key)
            await asyncio.sleep(MOMENT)
    await client.answer(key, 0.0)
    await client.close()
    return key


def _judge(running: Running, case: tuple[str, bool, str], keys: list[str]) -> Finding:
    on, first, expected = case
    rows = [running.log[key] for key in keys]
    found = Counter(f"{row.status} {row.flags or '-'} {row.attempts}" for row in rows)
    shown = ", ".join(f"{each} ({count} times)" for each, count in found.most_common())
    name = f"closed {'after' if first else 'before'} the request came, 1 retry on {on}"
    return Finding(LAW, name, expected, shown, set(found) == {expected})
