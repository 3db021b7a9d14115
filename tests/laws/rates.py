"""Law: ejection by gateway failures and by success rates (SEMANTICS 4).

Two counts run side by side, of 5xx and of 502 to 504; of one status the second is asked first. Success
rates are compared at the end of an interval, over the hosts that had enough requests: who lies more than a
factor of population standard deviations below the mean is out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from findings import Finding, exactly
from subjects import Service, Subject
from traffic import Connection, Host, Reply, in_turn

LAW = "detectors"
MOMENT = 0.05
"""In which an Envoy's worker hears of an ejection, s."""
INTERVAL = 1.5
"""Of the comparison of success rates, s."""
COUNTS = [
    (3, 5, [503, 502, 504], 3),
    (3, 5, [503, 503, 500, 503, 503], 5),
    (3, 6, [503, 503, 500, 503, 503, 503], 6),
    (3, 9, [503, 503, 200, 503, 503, 503], 6),
    (3, 9, [500, 501, 505, 500, 500, 503, 503, 503], 8),
    (3, 3, [503, 503, 503], 3),
]
"""Gateway failures and 5xx in a row that eject, statuses, and how many the host gets before it is out."""
RATES = [
    (1.9, 5, 20, 20, 1),
    (2.1, 5, 20, 20, 0),
    (1.9, 5, 21, 20, 0),
    (1.9, 6, 20, 20, 0),
]
"""Factor, hosts and requests that are needed, requests that each of five hosts has; how many are then out.

One host fails half of its requests: the mean is 90 %, the deviation 20 %, the bound 52 % or 48 %.
"""


def _ejecting(errors: int, interval: float = 60.0, base: str = "60s", **more: Any) -> dict[str, Any]:
    """A policy that ejects all it may."""
    detection = {
        "consecutive_5xx": errors, "interval": f"{interval}s", "base_ejection_time": base,
        "max_ejection_percent": "100%", "min_health_percent": "0%", **more,
    }  # fmt: skip
    return {"outlier_detection": detection, "balance": "round_robin"}


async def measure(subject: Subject) -> list[Finding]:
    """Statuses in turn from one bad host of two; five hosts of which one fails every other time."""
    services, bad = {}, []
    for number, (gateway, errors, statuses, _) in enumerate(COUNTS):
        bad.append(Host(in_turn([Reply(status) for status in statuses])))
        services[f"count-{number}"] = Service.of(
            _ejecting(errors, consecutive_gateway_failure=gateway), bad[-1], Host()
        )
    for number, (factor, needed, enough, _, _) in enumerate(RATES):
        halves = Host(lambda arrival: Reply(500 if arrival.number % 2 else 200))
        compared = {"hosts": needed, "requests": enough, "factor": factor}
        policy = _ejecting(1000, INTERVAL, success_rate=compared)
        services[f"rate-{number}"] = Service.of(policy, halves, *(Host() for _ in range(4)))
    once = Host(in_turn([Reply(500), Reply()]))
    services["tick"] = Service.of(_ejecting(1, INTERVAL, base="1ms"), once, Host())
    async with subject.run(services) as running:
        counts = [
            await _count(running.urls[f"count-{number}"], host, case)
            for number, (case, host) in enumerate(zip(COUNTS, bad, strict=True))
        ]
        ports = [running.urls[f"rate-{number}"] for number in range(len(RATES))]
        hosts = [services[f"rate-{number}"].hosts[""] for number in range(len(RATES))]
        await _tick(running.urls["tick"], once)
        rates = await asyncio.gather(*map(_rate, ports, hosts, RATES))
    return [*counts, *rates]


async def _count(port: int, host: Host, case: tuple[int, int, list[int], int]) -> Finding:
    """What the bad host is sent before it gets no more."""
    gateway, errors, statuses, expected = case
    connection = await Connection.open(port)
    for _ in range(2 * len(statuses) + 10):
        await connection.ask()
        await asyncio.sleep(MOMENT)
    await connection.close()
    name = f"{gateway} gateway failures or {errors} 5xx in a row; {', '.join(map(str, statuses))}"
    return exactly(LAW, name, f"out after {expected}", f"out after {len(host.arrivals)}")


async def _rate(port: int, hosts: Sequence[Host], case: tuple[float, int, int, int, int]) -> Finding:
    """How many of five hosts are out at the end of an interval in which each has had so many requests."""
    factor, needed, enough, each, expected = case
    connection = await Connection.open(port)
    for _ in range(each * len(hosts)):
        await connection.ask()
    await asyncio.sleep(INTERVAL)
    before = [len(host.arrivals) for host in hosts]
    for _ in range(4 * len(hosts)):
        await connection.ask()
    await connection.close()
    out = [host is hosts[0] for host, sent in zip(hosts, before, strict=True) if len(host.arrivals) == sent]
    name = f"one of 5 hosts has 50 % of {each}, factor {factor}, {needed} hosts of {enough} requests"
    wrong = "" if all(out) else ", not that one"
    return Finding(
        LAW, name, f"{expected} out", f"{len(out)} out{wrong}", (len(out), wrong) == (expected, "")
    )


async def _tick(port: int, bad: Host) -> None:
    """Waits for the end of an interval: a host that is out for a moment comes back then."""
    connection = await Connection.open(port)
    while len(bad.arrivals) < 2:
        await connection.ask()
        await asyncio.sleep(MOMENT / 10)
    await connection.close()
