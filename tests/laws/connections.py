"""Law: how connections begin and end (SEMANTICS 14): which requests fail with one, and when it closes.

An opening takes time where the host's backlog is full: Linux then drops a SYN, and that of the proxy is
repeated after 1 s.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

from codes import retries
from findings import Finding, exactly
from subjects import Running, Service, Subject
from traffic import LOOPBACK, Answer, Connection, Host, Reply, always, new_key

LAW = "connections"
SPACING = 0.02
"""Between requests that are to come in order, s."""
SLACK = 0.06
"""How late something may be, s; the SYN that is repeated too."""
SYN_AGAIN = 1.0
LONG = "24h"


class Full(Host):
    """A host that answers no SYN until it accepts."""

    async def open(self) -> None:
        self._held = socket.socket()
        self._held.bind((LOOPBACK, 0))
        self._held.listen(0)
        self.address = self._held.getsockname()
        self._first = socket.create_connection(self.address)  # its backlog has no room for another

    async def accept(self) -> None:
        """From now on it does."""
        assert self._held is not None
        self._server = await asyncio.get_running_loop().create_server(self.served, sock=self._held)
        self._held = None

    def close(self) -> None:
        self._first.close()
        super().close()


def connection(**keys: Any) -> dict[str, Any]:
    """A policy for connections."""
    return {"connection": keys}


async def measure(subject: Subject) -> list[Finding]:
    """Each case on a service of its own, all at once where they only wait."""
    one = {"circuit_breaker": {"max_connections": 1, "max_retries": 1}}
    again = retries(1, "connect-failure", backoff={"base": "1s", "max": "1s"})
    services = {
        "refused": Service.of({**one, **again}, Host(refuses=True)),
        "time-out": Service.of({**connection(connect_timeout="300ms"), **one, **again}, Full()),
        "opening": Service.of(connection(idle_timeout="300ms"), Full()),
        "idle": Service.of(connection(idle_timeout="200ms"), Host()),
        "requests": Service.of(connection(max_requests=3), Host()),
        "age-idle": Service.of(connection(max_age="200ms"), Host()),
        "age-busy": Service.of(connection(max_age="200ms"), Host(always(Reply(after=0.4)))),
    }
    hosts: Any = {name: service.hosts[""][0] for name, service in services.items()}
    async with subject.run(services) as running:
        failures = {name: await _pending(running.urls[name]) for name in ("refused", "time-out")}
        found = await asyncio.gather(
            _opening(running.urls["opening"], hosts["opening"]),
            _idle(running.urls["idle"], hosts["idle"]),
            _requests(running.urls["requests"], hosts["requests"]),
            _old_idle(running.urls["age-idle"], hosts["age-idle"]),
            _old_busy(running.urls["age-busy"], hosts["age-busy"]),
        )
    failed = [_failed(running, name, answers) for name, answers in failures.items()]
    return [*failed, *(finding for each in found for finding in each)]


async def _pending(port: int) -> list[Answer]:
    """Three requests in order that wait for one connection, which does not open; one of them may be retried."""
    clients = [await Connection.open(port) for _ in range(3)]
    waits = []
    for client in clients:
        waits.append(asyncio.create_task(client.ask()))
        await asyncio.sleep(SPACING if port else 0)
    answers = await asyncio.gather(*waits)
    for client in clients:
        await client.close()
    return answers


def _failed(running: Running, name: str, answers: list[Answer]) -> Finding:
    rows = [running.log[answer.key] for answer in answers]
    shown = [f"{row.status} {row.flags} {row.attempts} after {answer.took:.2f} s" for row, answer in zip(rows, answers)]
    return exactly(LAW, name, "", ", ".join(shown))


async def _opening(port: int, host: Full) -> list[Finding]:
    """A request that waits for an opening for longer than a connection may be idle; then it is idle."""
    client = await Connection.open(port)
    wait = asyncio.create_task(client.ask())
    await asyncio.sleep(SYN_AGAIN / 2)
    early = wait.done()
    await host.accept()
    answer = await wait
    since = time.monotonic()
    idle = await _until_closed(host, 1, since)
    await client.close()
    return [exactly(LAW, "opening", "", f"{early} {answer.status} {answer.took:.2f} idle {idle:.2f}")]


async def _until_closed(host: Host, left: int, since: float) -> float:
    """When the host has no more connections than so many, s."""
    while len(host.connections) > left:
        await asyncio.sleep(0.002)
        if time.monotonic() - since > 3:
            return -1
    return time.monotonic() - since


async def _idle(port: int, host: Host) -> list[Finding]:
    client = await Connection.open(port)
    await client.ask()
    await asyncio.sleep(0.15)
    await client.ask()
    idle = await _until_closed(host, 0, time.monotonic())
    await client.close()
    return [exactly(LAW, "idle", "", f"{idle:.3f} {host.opened}")]


async def _requests(port: int, host: Host) -> list[Finding]:
    client = await Connection.open(port)
    opened = []
    for _ in range(7):
        await client.ask()
        await asyncio.sleep(0.01)
        opened.append((host.opened, len(host.connections)))
    await client.close()
    return [exactly(LAW, "max_requests", "", f"{opened} {[a.closes for a in host.arrivals]}")]


async def _old_idle(port: int, host: Host) -> list[Finding]:
    client = await Connection.open(port)
    since = time.monotonic()
    await client.ask()
    await asyncio.sleep(0.12)
    await client.ask()
    took = await _until_closed(host, 0, since)
    await client.close()
    return [exactly(LAW, "age idle", "", f"{took:.3f} opened {host.opened}")]


async def _old_busy(port: int, host: Host) -> list[Finding]:
    client = await Connection.open(port)
    since = time.monotonic()
    answer = await client.ask()
    took = await _until_closed(host, 0, since)
    opened = host.opened
    await client.ask()
    await client.close()
    return [exactly(LAW, "age busy", "", f"{answer.status} {answer.took:.3f} closed {took:.3f} opened {opened} {host.opened} {[a.closes for a in host.arrivals]}")]
