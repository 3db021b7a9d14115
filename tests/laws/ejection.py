"""Law (d): how long a host is ejected, how many may be, and when that is a panic (SEMANTICS 4 and 1).

The k-th ejection lasts `base · k` and on to the next tick of the interval: between base · k and
base · k + interval. A host is ejected if the ejected are then at most the allowed share of all. All hosts are
used, ejected or not, if the healthy ones are fewer than the threshold, and 1.4 times them fewer than all.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

from findings import Finding, exactly
from subjects import Service, Subject
from traffic import Connection, Host, Reply, always

LAW = "ejection"
BASE, INTERVAL = 0.3, 0.25
SPACING = 0.004
"""Between two requests, s."""
LASTS = 7.5
MOMENT = 0.05
"""In which an Envoy's worker hears of an ejection, s."""
EJECTIONS = 5
"""So many end within `LASTS`."""
GOOD, BAD = Reply(), Reply(500)
SLACK = 0.03
"""How far the arrivals at a host can misplace the two ends of an ejection, s: the rotation of four hosts at
`SPACING`, twice, and delays of the loop."""
CAPS = [
    ("10%", 3, False, 0),
    ("10%", 3, True, 1),
    ("10%", 9, False, 0),
    ("10%", 10, False, 1),
    ("33%", 3, False, 0),
    ("34%", 3, False, 1),
    ("50%", 4, False, 2),
    ("50%", 4, True, 2),
    ("100%", 3, False, 3),
]
"""Allowed share, hosts, whether one always may, and how many are then ejected."""
PANICS = [
    ("0%", 2, 1, False),
    ("50%", 2, 1, False),
    ("51%", 2, 1, True),
    ("66%", 3, 1, False),
    ("67%", 3, 1, True),
    ("100%", 7, 2, False),  # five sevenths are enough: 1.4 times them are all
    ("100%", 7, 3, True),
]
"""Threshold, hosts, how many of them are bad, and whether these are used once they are ejected."""


def detection(share: str, interval: str, base: str, limit: int) -> dict[str, Any]:
    """An outlier detection as a scenario file writes it."""
    return {
        "outlier_detection": {
            "consecutive_5xx": limit, "interval": interval, "base_ejection_time": base,
            "max_ejection_percent": share,
        }
    }  # fmt: skip


async def measure(subject: Subject) -> list[Finding]:
    """Durations on a service of two good and two bad hosts; caps on services whose hosts are all bad."""
    hosts = [Host(always(BAD if number < 2 else GOOD)) for number in range(4)]
    services = {"durations": Service.of(detection("50%", f"{INTERVAL}s", f"{BASE}s", 3), *hosts)}
    for number, (share, count, one, _) in enumerate(CAPS):
        bad = [Host(always(BAD)) for _ in range(count)]
        policy = detection(share, "60s", "60s", 3)
        policy["outlier_detection"]["always_eject_one"] = one
        services[f"cap-{number}"] = Service.of(policy, *bad)
    for number, (threshold, count, wrong, _) in enumerate(PANICS):
        some = [Host(always(BAD if place < wrong else GOOD)) for place in range(count)]
        policy = detection("100%", "60s", "60s", 3)
        policy["outlier_detection"]["min_health_percent"] = threshold
        services[f"panic-{number}"] = Service.of(policy, *some)
    async with subject.run(services) as running:
        await _keep_asking(running.urls["durations"])
        caps = [
            await _cap(running.urls[f"cap-{number}"], services[f"cap-{number}"].hosts[""], case)
            for number, case in enumerate(CAPS)
        ]
        panics = [
            await _panic(running.urls[f"panic-{number}"], services[f"panic-{number}"].hosts[""], case)
            for number, case in enumerate(PANICS)
        ]
    return [*_durations(hosts[:2]), *caps, *panics]


async def _keep_asking(port: int) -> None:
    connection = await Connection.open(port)
    ends = time.monotonic() + LASTS
    while time.monotonic() < ends:
        await connection.ask()
        await asyncio.sleep(SPACING)
    await connection.close()


def _durations(bad: list[Host]) -> list[Finding]:
    """The silences at each bad host; its k-th is its k-th ejection."""
    silences = []
    for host in bad:
        times = [arrival.at for arrival in host.arrivals]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        silences.append([gap for gap in gaps if gap > BASE / 2])
    found = []
    assert min(map(len, silences)) >= EJECTIONS, "there was time for so many"
    for k, both in enumerate(zip(*(each[:EJECTIONS] for each in silences), strict=True), 1):
        low, high = BASE * k, BASE * k + INTERVAL
        agrees = all(low - SLACK <= gap <= high + SLACK for gap in both)
        shown = ", ".join(f"{gap:.3f} s" for gap in both)
        case = f"{k}. ejection, base {BASE} s, interval {INTERVAL} s"
        found.append(Finding(LAW, case, f"{low:.2f} to {high:.2f} s", shown, agrees))
    threes = all(len(list(run)) == 3 for host in bad for run in _runs(host)[:-1])
    found.append(exactly(LAW, "failures before each ejection", "3 each", "3 each" if threes else "others"))
    return found


def _runs(host: Host) -> list[list[float]]:
    """The arrivals at a host between its ejections."""
    runs: list[list[float]] = [[]]
    for arrival in host.arrivals:
        if runs[-1] and arrival.at - runs[-1][-1] > BASE / 2:
            runs.append([])
        runs[-1].append(arrival.at)
    return runs


async def _cap(port: int, hosts: list[Host], case: tuple[str, int, bool, int]) -> Finding:
    """How many hosts are sent nothing any more after all have failed often."""
    share, count, one, expected = case
    out = await _left_out(port, hosts)
    return exactly(
        LAW,
        f"{share} of {count} bad hosts may be out{', one always' if one else ''}",
        f"{expected} out",
        f"{out} out",
    )


async def _panic(port: int, hosts: list[Host], case: tuple[str, int, int, bool]) -> Finding:
    """Whether hosts that were ejected are used all the same."""
    threshold, count, wrong, expected = case
    out = await _left_out(port, hosts)
    name = f"{wrong} of {count} hosts ejected, panic below {threshold}"
    return exactly(LAW, name, "used" if expected else "not used", "used" if out == 0 else "not used")


async def _left_out(port: int, hosts: list[Host]) -> int:
    """How many hosts get no request any more, after many."""
    connection = await Connection.open(port)
    for _ in range(6 * len(hosts)):
        await connection.ask()
    await asyncio.sleep(MOMENT)
    before = [len(host.arrivals) for host in hosts]
    for _ in range(6 * len(hosts)):
        await connection.ask()
    await connection.close()
    return sum(len(host.arrivals) == sent for host, sent in zip(hosts, before, strict=True))
