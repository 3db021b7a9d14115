"""Laws (h) and (i): the local rate limit, the retry slot, and the retry budget (SEMANTICS 3, 5)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from findings import Finding, exactly
from subjects import Service, Subject
from traffic import (
    Answer,
    Arrival,
    Connection,
    Host,
    Reply,
    always,
    ask,
    burst,
    halted,
    leave,
    new_key,
    send_at_once,
)

SOON = 0.08
"""An answer that does not come within this waits for a retry, s."""


# ---- rate limit --------------------------------------------------------------------------------------


async def measure_rate(subject: Subject) -> list[Finding]:
    """A bucket starts full, refills continuously, and holds no more than its burst."""
    limits = {"wide": {"burst": 20, "rate": "50/s"}, "narrow": {"burst": 2, "rate": "10/s"}}
    services = {name: Service.of({"rate_limit": limit}, Host()) for name, limit in limits.items()}
    async with subject.run(services) as running:
        wide = await _admitted(running.urls["wide"], spacing=0.005, lasts=4.0)
        await asyncio.sleep(1.0)  # 50 tokens come, of which 20 have room
        full = sum(answer.status == 200 for answer in await burst(running.urls["wide"], 40))
        narrow = await _admitted(running.urls["narrow"], spacing=0.02, lasts=4.0)
    return [
        _rate("burst 20, 50/s, asked 200/s", 20, 50.0, *wide),
        _within("burst 20 after a second's rest: of 40 at once", 20, 21, full),
        _rate("burst 2, 10/s, asked 50/s", 2, 10.0, *narrow),
    ]


async def _admitted(port: int, spacing: float, lasts: float) -> tuple[int, float]:
    """Admitted requests, and the time from the first to the last, s."""
    connection = await Connection.open(port)
    began = time.monotonic()
    admitted, number = 0, 0
    while time.monotonic() - began < lasts:
        admitted += (await connection.ask()).status == 200
        number += 1
        await asyncio.sleep(max(0.0, began + number * spacing - time.monotonic()))
    took = time.monotonic() - began
    await connection.close()
    return admitted, took


def _rate(case: str, burst_size: int, rate: float, admitted: int, took: float) -> Finding:
    """Burst + rate·t, of which the last token may be incomplete, and the last request some ms ago.

    The bucket must be larger than 1, else it is full before it is asked, and loses what comes then.
    """
    expected = burst_size + rate * took
    finding = _within(case, int(expected) - 1, int(expected) + 1, admitted)
    return Finding(finding.law, case, "burst + rate·t, ± 1", f"{admitted} ({expected:.1f})", finding.agrees)


def _within(case: str, low: int, high: int, found: int) -> Finding:
    return Finding("rate limit", case, f"{low} to {high}", str(found), low <= found <= high)


# ---- retry slots -------------------------------------------------------------------------------------


async def measure_slots(subject: Subject) -> list[Finding]:
    """A slot is held from the decision to retry, through the back-off and the try, until its headers come."""
    one = {"circuit_breaker": {"max_retries": 1}}
    two = {"circuit_breaker": {"max_retries": 2}}
    slow, quick = {"base": "60s"}, {"base": "200ms"}
    services = {
        "one": Service.of({**one, **_retries(slow)}, Host(_second_answers)),
        "two": Service.of({**two, **_retries(slow)}, Host(_second_answers)),
        "held": Service.of({**one, **_retries(quick)}, Host(_second_answers)),
    }
    async with subject.run(services) as running:
        refused = [await _refused_at_once(running.urls[name], 5) for name in ("one", "two")]
        rounds = [await _while_held(running.urls["held"]) for _ in range(8)]
    refusals, probes, freed = (sum(column) for column in zip(*rounds, strict=True))
    law = "retry slot"
    return [
        exactly(law, "5 fail at once, max_retries 1: refused", 4, refused[0]),
        exactly(law, "5 fail at once, max_retries 2: refused", 3, refused[1]),
        exactly(law, "refused while another waits or is tried", f"all of {probes}", f"all of {refusals}"),
        exactly(law, "granted right after its headers", 8, freed),
    ]


def _retries(backoff: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"retries": {"attempts": 1, "on": ["5xx"], "backoff": {"max": "60s", **backoff}, **more}}


def _second_answers(arrival: Arrival) -> Reply:
    return Reply(500) if arrival.attempt == 1 else Reply(200, after=0.15)


async def _refused_at_once(port: int, n: int) -> int:
    """How many of n simultaneous failures are not retried."""
    connections, tasks = await send_at_once(port, n)
    done, _ = await asyncio.wait(tasks, timeout=0.5)
    await leave(connections, tasks)
    return sum(task.result().status == 500 for task in done)


async def _while_held(port: int) -> tuple[int, int, int]:
    """Probes refused while one retry holds the slot; how many there were; whether one is granted then."""
    holder = await Connection.open(port)
    task = asyncio.create_task(holder.ask())
    await asyncio.sleep(0.02)
    refused = probes = 0
    while True:
        answer = await ask(port)
        if task.done():
            break
        probes += 1
        refused += answer.status == 500
        await asyncio.sleep(0.01)
    assert task.result().status == 200
    await holder.close()
    return refused, probes, (await ask(port)).status == 200


# ---- retry budget ------------------------------------------------------------------------------------


async def measure_budget(subject: Subject) -> list[Finding]:
    """With H requests in flight, so many retries are granted: max(3, trunc(0.2 · (H + 1)))."""
    cases = [0, 14, 19, 24, 49, 54]
    services, hanging = {}, {new_key() for _ in range(sum(cases))}
    for held in cases:
        policy = _retries({"base": "60s"}, budget={"ratio": "20%", "min_concurrency": 3})
        services[f"budget-{held}"] = Service.of(policy, Host(lambda a: Reply(500, silent=a.key in hanging)))
    keys = iter(hanging)
    found = []
    async with subject.run(services) as running:
        for held in cases:
            name = f"budget-{held}"
            hanging_here = [next(keys) for _ in range(held)]
            granted = await _granted(running.urls[name], services[name].hosts[""][0], hanging_here)
            expected = max(3, int(0.2 * (held + 1)))
            found.append(exactly("retry budget", f"{held} in flight: retries granted", expected, granted))
    return found + await _measure_together(subject)


async def _granted(port: int, host: Host, hanging: list[str]) -> int:
    """How many failures one after the other are retried, before one is not."""
    connections = []
    for key in hanging:
        connections.append(await Connection.open(port))
        connections[-1].send(key)
    await host.has_heard(len(hanging))
    waiting: list[asyncio.Task[Answer]] = []
    while not waiting or not waiting[-1].done():
        connections.append(await Connection.open(port))
        waiting.append(asyncio.create_task(connections[-1].ask()))
        await asyncio.wait(waiting[-1:], timeout=SOON)
    await asyncio.sleep(SOON)  # for an answer that was late, and was taken for none
    return await leave(connections, waiting)


TOGETHER = 6
"""Requests in flight, all of which fail; the budget is all of what is in flight, with none in reserve."""
FAILURES = {
    "closed at once": (Reply(close=True), 0.0, TOGETHER),
    "reset at once": (Reply(reset=True), 0.0, TOGETHER),
    "answered 500 at once": (Reply(500), 0.0, TOGETHER // 2),
    "closed one by one": (Reply(close=True), 0.02, TOGETHER // 2),
    "reset one by one": (Reply(reset=True), 0.02, TOGETHER // 2),
    "answered 500 one by one": (Reply(500), 0.02, TOGETHER // 2),
}
"""How they fail, how far apart, s, and how many are then retried."""


async def _measure_together(subject: Subject) -> list[Finding]:
    """What fails at once is in flight together, or not: the n-th is retried if fewer were than are in flight.

    An answered try is off the count when the next is judged; one whose connection breaks is on it until the
    proxy has seen to everything that it found at once.
    """
    policy = _retries({"base": "60s"}, budget={"ratio": "100%", "min_concurrency": 0})
    late = _retries({"base": "60s"}, budget=policy["retries"]["budget"], per_try_timeout="200ms")
    cases = {**FAILURES, "timed out at once": (None, 0.0, 0)}
    hosts = [Host(always(Reply(silent=True))) for _ in cases]
    services = {
        f"together-{number}": Service.of(late if failure is None else policy, hosts[number])
        for number, (failure, _, _) in enumerate(cases.values())
    }
    found = []
    async with subject.run(services) as running:
        for number, (case, (failure, spacing, expected)) in enumerate(cases.items()):
            connections, answers = await send_at_once(
                running.urls[f"together-{number}"], TOGETHER, running.pid
            )
            await hosts[number].has_heard(TOGETHER)
            await asyncio.sleep(0.05)
            if failure is not None:
                with halted(0 if spacing else running.pid):
                    await hosts[number].answer_all(failure, spacing)
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.05 + SOON)
            retried = await leave(connections, answers)
            finding = exactly("retry budget", f"{TOGETHER} {case}: retried", expected, retried)
            found.append(replace(finding, expected="?", agrees=True) if failure is None else finding)
    return found
