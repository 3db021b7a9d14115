"""Law: how connections begin and end (SEMANTICS 14): which requests fail with one, and when it closes.

An opening takes time where the host's backlog is full: Linux then drops SYNs, and sends one again after 1 s.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

from codes import retries
from findings import Finding, exactly
from subjects import Running, Service, Subject
from traffic import LOOPBACK, Answer, Connection, Host, Reply, always, send_at_once

LAW = "connections"
SPACING = 0.02
"""Between requests that are to come in order, s."""
SLACK = 0.06
"""How late something may be, s."""
SYN_AGAIN = 1.0
"""When Linux sends a SYN again, s."""
OPENING = 0.3
"""How long an opening, or its time-out, lasts, s."""
LIMIT = 0.2
"""How long a connection may be idle, or old, s."""
PATIENCE = 3.0


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


async def measure(subject: Subject) -> list[Finding]:
    """Each case on a service of its own, side by side."""
    give_up = {"connection": {"connect_timeout": f"{OPENING}s"}}
    one = {
        "circuit_breaker": {"max_connections": 1, "max_retries": 1},
        **retries(1, "connect-failure", backoff={"base": "1ms"}),
    }
    services = {
        "refused": Service.of(one, Host(refuses=True)),
        "late": Service.of({**give_up, **one}, Full()),
        "joined": Service.of(give_up, Full()),
        "opening": Service.of({"connection": {"idle_timeout": f"{LIMIT}s"}}, Full()),
        "idle": Service.of({"connection": {"idle_timeout": f"{LIMIT}s"}}, Host()),
        "requests": Service.of({"connection": {"max_requests": 3}}, Host()),
        "old": Service.of({"connection": {"max_age": f"{LIMIT}s"}}, Host()),
        "old-busy": Service.of(
            {"connection": {"max_age": f"{LIMIT}s"}}, Host(always(Reply(after=2 * LIMIT)))
        ),
    }
    hosts: dict[str, Any] = {name: service.hosts[""][0] for name, service in services.items()}
    async with subject.run(services) as running:
        refused = await _refused(running.urls["refused"], running.pid)
        found = await asyncio.gather(
            *(
                case(running.urls[name], hosts[name])
                for name, case in {
                    "joined": _joined, "opening": _opening, "idle": _idle, "requests": _requests, "old": _old,
                    "old-busy": _old_busy,
                }.items()
            )
        )  # fmt: skip
        late = await _in_order(running.urls["late"], [0.0, SPACING, 2 * SPACING])
        await asyncio.sleep(0.1)
    failed = [
        _who_fails(running, "refused", refused),
        _who_fails(running, f"not open after {OPENING} s", late),
    ]
    return [*failed, *found]


async def _in_order(port: int, times: list[float]) -> list[Answer]:
    """Requests at such times, s from now, each on a connection of its own."""

    async def ask(at: float) -> Answer:
        client = await Connection.open(port)
        await asyncio.sleep(at)
        answer = await client.ask()
        await client.close()
        return answer

    return await asyncio.gather(*map(ask, times))


async def _refused(port: int, pid: int) -> list[Answer]:
    """Three requests at once, for which one connection is opened."""
    clients, waits = await send_at_once(port, 3, pid)
    answers = await asyncio.gather(*waits)
    for client in clients:
        await client.close()
    return answers


def _who_fails(running: Running, why: str, answers: list[Answer]) -> Finding:
    """Three wait for one connection in order, and one may be retried: the oldest, if that fails first."""
    rows = [running.log[answer.key] for answer in answers]
    shown = ", ".join(f"{row.status} {row.flags} {row.attempts}" for row in rows)
    case = f"three wait for one connection, which is {why}; max_retries 1"
    return exactly(LAW, case, "503 URX,UF 2, 503 UO,UF 1, 503 UO,UF 1", shown)


async def _joined(port: int, host: Host) -> Finding:
    """Three openings, a third apart: all who wait fail with the first; who comes then, with the next."""
    third = OPENING / 3
    times = [0.0, third, 2 * third, OPENING + 0.3 * third, OPENING + 0.6 * third, OPENING + 2.3 * third]
    answers = await _in_order(port, times)
    ends = [round((at + answer.took) / third, 1) for at, answer in zip(times, answers, strict=True)]
    wanted = [3, 3, 3, 4, 4, 8.3]
    shown = ", ".join(f"{end:g}" for end in ends)
    agrees = all(abs(end - each) <= SLACK / third for end, each in zip(ends, wanted, strict=True))
    case = "asked at 0, 1, 2, 3.3, 3.6, 5.3; an opening times out after 3: failed at"
    return Finding(LAW, case, ", ".join(f"{each:g}" for each in wanted), shown, agrees)


async def _opening(port: int, host: Full) -> Finding:
    """A request waits longer for an opening than a connection may be idle; then that is idle."""
    client = await Connection.open(port)
    wait = asyncio.create_task(client.ask())
    await asyncio.sleep(SYN_AGAIN / 2)
    await host.accept()
    answer = await wait
    idle = await _until_closed(host, 1, time.monotonic())
    await client.close()
    case = f"idle_timeout {LIMIT} s, opening {SYN_AGAIN} s: answered after, and closed after that"
    return _times(case, [SYN_AGAIN, LIMIT], [answer.took, idle])


async def _idle(port: int, host: Host) -> Finding:
    """Used again before it has been idle for too long."""
    client = await Connection.open(port)
    await client.ask()
    await asyncio.sleep(0.7 * LIMIT)
    await client.ask()
    idle = await _until_closed(host, 0, time.monotonic())
    await client.close()
    return _times(f"idle_timeout {LIMIT} s, used twice: closed after the last answer", [LIMIT], [idle])


async def _requests(port: int, host: Host) -> Finding:
    """Seven requests, one after the other."""
    client = await Connection.open(port)
    found = []
    for _ in range(7):
        await client.ask()
        await asyncio.sleep(SPACING)
        found.append(f"{host.opened}/{len(host.connections)}")
    await client.close()
    said = "yes" if any(arrival.closes for arrival in host.arrivals) else "no"
    case = "max_requests 3: opened and open after each of 7 requests; is the host told of the last one"
    return exactly(LAW, case, "1/1 1/1 1/0 2/1 2/1 2/0 3/1, no", f"{' '.join(found)}, {said}")


async def _old(port: int, host: Host) -> Finding:
    """Used again before it is too old."""
    client = await Connection.open(port)
    since = time.monotonic()
    await client.ask()
    await asyncio.sleep(0.7 * LIMIT)
    await client.ask()
    took = await _until_closed(host, 0, since)
    await client.close()
    return _times(f"max_age {LIMIT} s, used twice: closed after the opening", [LIMIT], [took])


async def _old_busy(port: int, host: Host) -> Finding:
    """Too old while it is busy."""
    client = await Connection.open(port)
    since = time.monotonic()
    answer = await client.ask()
    took = await _until_closed(host, 0, since)
    await client.close()
    case = f"max_age {LIMIT} s, busy for longer: answered and closed after"
    return _times(case, [2 * LIMIT, 2 * LIMIT], [answer.took, took])


async def _until_closed(host: Host, left: int, since: float) -> float:
    """When the host has no more connections than so many, s."""
    while len(host.connections) > left and time.monotonic() < since + PATIENCE:
        await asyncio.sleep(0.002)
    return time.monotonic() - since


def _times(case: str, wanted: list[float], found: list[float]) -> Finding:
    shown, said = (", ".join(f"{each:.2f} s" for each in times) for times in (found, wanted))
    agrees = all(-0.002 <= each - when <= SLACK for each, when in zip(found, wanted, strict=True))
    return Finding(LAW, case, said, shown, agrees)
