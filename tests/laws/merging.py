"""Law: how late a balancer learns who is out, or back, with a merge window (SEMANTICS 12 and 14).

A change less than the window after the last one that the balancer was told of waits: it is told a window
after *it* came, not when the window ends, with all that came meanwhile. Returns on one tick are changes of
their own.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

from findings import Finding, exactly
from subjects import Service, Subject
from traffic import Arrival, Connection, Host, Reply

LAW = "merge window"
SPACING = 0.1
"""Between two requests, s."""
WINDOW = 0.35
"""So long: three more requests after an ejection that waits."""
LIMIT = 3
LASTS = 6.5
QUIET = 0.3
"""A silence of a host that is longer is an ejection, s."""


def _detection(window: float) -> dict[str, Any]:
    return {
        "outlier_detection": {
            "consecutive_5xx": LIMIT, "interval": "1s", "base_ejection_time": "600ms",
            "max_ejection_time": "600ms", "max_ejection_percent": "100%", "merge_window": f"{window}s",
        }
    }  # fmt: skip


async def measure(subject: Subject) -> list[Finding]:
    """A host that always fails, without and with a window; and two that come back on the same tick."""
    always_bad = {window: Host(lambda _: Reply(500)) for window in (0.0, WINDOW)}
    pair = [Host(_bad_at_first), Host(_bad_at_first)]
    services = {f"bad-{n}": Service.of(_detection(w), host) for n, (w, host) in enumerate(always_bad.items())}
    services["pair"] = Service.of(_detection(WINDOW), *pair)
    async with subject.run(services) as running:
        await asyncio.gather(*(_keep_asking(running.urls[name]) for name in services))
    return [
        _failures("none", always_bad[0.0], [LIMIT] * 4),
        _failures(f"{WINDOW} s", always_bad[WINDOW], [LIMIT, *[2 * LIMIT] * 3]),
        _return(pair),
    ]


def _bad_at_first(arrival: Arrival) -> Reply:
    return Reply(500 if arrival.number < LIMIT else 200)


async def _keep_asking(port: int) -> None:
    connection = await Connection.open(port)
    began = time.monotonic()
    for number in range(int(LASTS / SPACING)):
        await asyncio.sleep(max(0.0, began + number * SPACING - time.monotonic()))
        await connection.ask()
    await connection.close()


def _failures(window: str, host: Host, expected: list[int]) -> Finding:
    """How many requests the host has had before each silence."""
    counts = [0]
    before = host.arrivals[0].at
    for arrival in host.arrivals:
        if arrival.at - before > QUIET:
            counts.append(0)
        counts[-1] += 1
        before = arrival.at
    case = f"window {window}, {LIMIT} failures eject: requests before each ejection"
    return exactly(LAW, case, expected, counts[: len(expected)])


def _return(pair: list[Host]) -> Finding:
    """How long after the first the second is used again."""
    back = []
    for host in pair:
        times = [arrival.at for arrival in host.arrivals]
        back.append(next(later for earlier, later in itertools.pairwise(times) if later - earlier > QUIET))
    apart = abs(back[0] - back[1])
    agrees = WINDOW - SPACING <= apart <= WINDOW + 2 * SPACING
    case = f"window {WINDOW} s, two back on one tick: the second is used so much later than the first"
    return Finding(LAW, case, f"{WINDOW} s, ± {SPACING} s or two", f"{apart:.2f} s", agrees)
