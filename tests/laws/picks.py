"""Laws (e), (f), (g): which host is picked, and which version (SEMANTICS 1, 6).

Least request draws hosts with replacement and takes the less busy one. So with one host busy and n - 1 idle,
the busy one is picked where it is drawn every time: with probability n to the minus `choices`.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from findings import Finding, exactly, share, shares
from subjects import Service, Subject
from traffic import Answer, Arrival, Connection, Host, Reply, always, new_key

PICKS = 3000
LEAST_REQUEST: list[tuple[str, Any, int, float]] = [
    ("2 choices of 2 hosts", "least_request", 2, 1 / 4),
    ("2 choices of 3 hosts", "least_request", 3, 1 / 9),
    ("2 choices of 5 hosts", "least_request", 5, 1 / 25),
    ("5 choices of 2 hosts", {"least_request": {"choices": 5}}, 2, 1 / 32),
]
AVOIDING: list[tuple[int, str, dict[str, Any]]] = [
    (1, "retried anywhere", {}),
    (2, "previous_hosts", {"previous_hosts": True}),
    (4, "previous_hosts, 3 host_attempts", {"previous_hosts": True, "host_attempts": 3}),
]
"""Picks of a retry at most, and what says so."""
FULL_SCAN = {"least_request": {"selection": "full_scan"}}
SPLITS: list[dict[str, int]] = [{"v1": 90, "v2": 10}, {"v1": 50, "v2": 30, "v3": 20}]


class _Pinned:
    """Hosts of which one holds a request that it never answers."""

    def __init__(self, count: int) -> None:
        self.key = new_key()
        self.hosts = [Host(self.reply) for _ in range(count)]

    def reply(self, arrival: Arrival) -> Reply:
        return Reply(silent=arrival.key == self.key)

    async def busy_picks(self, port: int) -> int:
        """How many of the picks hit the busy host."""
        pin = await Connection.open(port)
        pin.send(self.key)
        while not any(host.arrivals for host in self.hosts):
            await asyncio.sleep(0.001)
        (busy,) = (host for host in self.hosts if host.arrivals)
        await _ask(port, PICKS)
        await pin.close()
        return len(busy.arrivals) - 1


async def measure(subject: Subject) -> list[Finding]:
    """Balancers: least request with pinned load, round robin, random."""
    pinned = {f"least-{number}": _Pinned(hosts) for number, (_, _, hosts, _) in enumerate(LEAST_REQUEST)}
    policies = {f"least-{number}": balance for number, (_, balance, _, _) in enumerate(LEAST_REQUEST)}
    pinned["scan"], policies["scan"] = _Pinned(3), FULL_SCAN
    idle = {name: [Host() for _ in range(3)] for name in ("round-robin", "random", "scan-idle")}
    policies |= {"round-robin": "round_robin", "random": "random", "scan-idle": FULL_SCAN}
    hosts = {**{name: each.hosts for name, each in pinned.items()}, **idle}
    services = {name: Service.of({"balance": policies[name]}, *hosts[name]) for name in hosts}
    async with subject.run(services) as running:
        counts = {name: await each.busy_picks(running.urls[name]) for name, each in pinned.items()}
        for name in idle:
            await _ask(running.urls[name], PICKS)
    return [*_least_request(counts), *_idle(idle)]


async def measure_previous_hosts(subject: Subject) -> list[Finding]:
    """How retries avoid a host that failed, or that could not be reached: it gets 1, 2, 3 ... picks of 3."""
    bad = {"fails": lambda: Host(always(Reply(500))), "refuses": lambda: Host(refuses=True)}
    cases = {f"{how}-{picks}": (how, *avoiding) for how in bad for picks, *avoiding in AVOIDING}
    services = {
        name: Service.of({"balance": "random", "retries": {"backoff": {"base": "0s"}, **keys}},
                         bad[how](), Host(), Host())
        for name, (how, _, keys) in cases.items()
    }  # fmt: skip
    found = []
    async with subject.run(services) as running:
        for name, (how, what, _) in cases.items():
            answers = await _ask(running.urls[name], PICKS)
            failed = sum(answer.status != 200 for answer in answers)
            p = 3.0 ** -(1 + int(name[-1]))
            found.append(
                share("previous hosts", f"1 of 3 {how}, {what}: so does the retry", p, failed, PICKS)
            )
    return found


def _least_request(counts: dict[str, int]) -> list[Finding]:
    found = [
        share("least request", f"{case}: the busy one is picked", p, counts[f"least-{number}"], PICKS)
        for number, (case, _, _, p) in enumerate(LEAST_REQUEST)
    ]
    return [
        *found,
        exactly("least request", "full scan of 3 hosts: the busy one is picked", 0, counts["scan"]),
    ]


def _idle(idle: dict[str, list[Host]]) -> list[Finding]:
    ordered = sorted(
        (arrival.at, number) for number, host in enumerate(idle["round-robin"]) for arrival in host.arrivals
    )
    turns = {(earlier, later) for (_, earlier), (_, later) in itertools.pairwise(ordered)}
    sent = {name: [len(host.arrivals) for host in hosts] for name, hosts in idle.items()}
    equal = [PICKS // 3] * 3
    return [
        exactly("round robin", f"{PICKS} picks of 3 hosts", equal, sent["round-robin"]),
        exactly("round robin", "who follows whom: pairs of 3 hosts", 3, len(turns)),
        shares("random", f"{PICKS} picks of 3 hosts", [1, 1, 1], sent["random"]),
        shares("least request", f"full scan of 3 idle hosts, {PICKS} picks", [1, 1, 1], sent["scan-idle"]),
    ]


async def measure_split(subject: Subject) -> list[Finding]:
    """Weighted splits."""
    services = {
        f"split-{number}": Service({"split": split}, {version: [Host()] for version in split})
        for number, split in enumerate(SPLITS)
    }
    async with subject.run(services) as running:
        for name in services:
            await _ask(running.urls[name], PICKS)
    return [_split(split, services[f"split-{number}"]) for number, split in enumerate(SPLITS)]


def _split(split: dict[str, int], service: Service) -> Finding:
    counts = [len(host.arrivals) for (host,) in service.hosts.values()]
    return shares("split", f"{len(split)} versions, {PICKS} calls", list(map(float, split.values())), counts)


async def _ask(port: int, requests: int) -> list[Answer]:
    """So many requests, one after the other."""
    connection = await Connection.open(port)
    answers = [await connection.ask() for _ in range(requests)]
    await connection.close()
    return answers
