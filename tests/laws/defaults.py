"""Law: what an Envoy does by default, and what `mesh.preset: envoy` has meshsim's proxy do.

The Envoy's routes and clusters say nothing but where to go, and of `outlier_detection` that it is there. Its
/config_dump shows no defaults, so they are measured. Not measured: the idle time-out of 1 h, and panic below
50 %, which the 10 % that may be ejected never reaches.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any
from unittest.mock import patch

from findings import Finding, exactly
from subjects import EnvoySubject, Service, Subject
from traffic import Arrival, Connection, Host, Reply, always, ask

from meshsim.live.envoy import Envoy, process
from meshsim.live.envoy.resources import documents

LAW = "defaults"
LASTS = 43.0
PACE = 0.008
"""Between two requests to many hosts, s: to each of ten more than 100 in an interval."""
EJECTING: dict[str, Any] = {"outlier_detection": {}}


class Bare(Envoy):
    """An Envoy that is told where to go, and that failing hosts are to be ejected, and nothing else."""

    def _write(self) -> None:
        with patch.object(process, "documents", _bare):
            super()._write()


def _bare(*args: Any, **keywords: Any) -> Any:
    found = documents(*args, **keywords)
    for host in found["rds.json"][0]["virtual_hosts"]:
        for route in host["routes"]:
            route["route"] = {"cluster": route["route"]["cluster"]}
    for cluster in found["cds.json"]:
        for key in ("circuit_breakers", "load_balancing_policy", "common_lb_config", "connect_timeout"):
            del cluster[key]
        if "outlier_detection" in cluster:
            cluster["outlier_detection"] = {}
    return found


async def measure(subject: Subject) -> list[Finding]:
    """All at once: a silent host, a failing one, three good ones, and some that are ejected."""
    if isinstance(subject, EnvoySubject):
        subject.kind = Bare
    subject.mesh = {"preset": "envoy"}
    bad, slow = always(Reply(500)), always(Reply(silent=True))
    twice_bad = [Host(bad), Host(bad), *(Host() for _ in range(18))]
    few, half_bad = [Host(bad), *(Host() for _ in range(8))], [Host(_alternating), *map(_host, range(9))]
    silent, failing, three = Host(slow), Host(bad), [Host() for _ in range(3)]
    services = {
        "silent": Service.of({}, silent),
        "failing": Service.of({}, failing),
        "three": Service.of({}, *three),
        "two-of-20": Service.of(EJECTING, *twice_bad),
        "one-of-9": Service.of(EJECTING, *few),
        "half-bad": Service.of(EJECTING, *half_bad),
    }
    async with subject.run(services) as running:
        answers = asyncio.gather(*(ask(running.urls[name]) for name in ("silent", "failing")))
        for _ in range(9):
            await ask(running.urls["three"])
        await asyncio.gather(*(_keep_asking(running.urls[name]) for name in list(services)[3:]))
        late, failed = await answers
    return [
        Finding(LAW, "no answer: 504 after", "15 s", f"{late.took:.2f} s", abs(late.took - 15.0) < 0.2),
        exactly(LAW, "answered 500: status, tries", (500, 1), (failed.status, len(failing.arrivals))),
        exactly(LAW, "three hosts, nine requests: picks in turn", True, _in_turn(three)),
        exactly(LAW, "20 hosts: 5xx in a row before the first is out", 5, _before_gap(twice_bad[0])),
        _merged(twice_bad),
        _back(twice_bad[0]),
        exactly(LAW, "10 % of 9 hosts: ejections of one that fails", 0, _gaps(few[0])),
        exactly(LAW, "half of 100 and more in 10 s fail, 10 hosts: it is out", True, _left_out(half_bad)),
    ]


def _host(_: int) -> Host:
    return Host()


def _alternating(arrival: Arrival) -> Reply:
    return Reply(500 if arrival.number % 2 else 200)


async def _keep_asking(port: int) -> None:
    connection = await Connection.open(port)
    began = time.monotonic()
    for number in range(int(LASTS / PACE)):
        await asyncio.sleep(max(0.0, began + number * PACE - time.monotonic()))
        await connection.ask()
    await connection.close()


def _in_turn(hosts: list[Host]) -> bool:
    """Whether every third request went to the same host."""
    came = sorted((arrival.at, number) for number, host in enumerate(hosts) for arrival in host.arrivals)
    order = [number for _, number in came]
    return len(set(order[:3])) == 3 and order == order[:3] * 3


def _silences(host: Host) -> list[tuple[int, float, float]]:
    """Silences of more than 5 s: how many requests came before, and when it began and ended, s."""
    times = [arrival.at for arrival in host.arrivals]
    pairs = enumerate(itertools.pairwise(times), 1)
    return [(number, before, after) for number, (before, after) in pairs if after - before > 5.0]


def _gaps(host: Host) -> int:
    return len(_silences(host))


def _left_out(hosts: list[Host]) -> bool:
    """Whether the first was sent much less than the second."""
    return len(hosts[0].arrivals) < 0.8 * len(hosts[1].arrivals)


def _before_gap(host: Host) -> int:
    """Failures before the first ejection, however late the other's change let it be known."""
    return _silences(host)[0][0] if _silences(host) else len(host.arrivals)


def _merged(pair: list[Host]) -> Finding:
    """Of two that fail at once, one is out at its 5th failure, the other a window of 1 s later."""
    counts = sorted(_before_gap(host) for host in pair[:2])
    case = "20 hosts, two fail at once: requests before each is out (6 a second)"
    return Finding(LAW, case, "5 and 11, ± 1", f"{counts[0]} and {counts[1]}", abs(counts[1] - 11) <= 1)


def _back(host: Host) -> Finding:
    """On the tick of 10 s that follows 30 s."""
    silences = _silences(host)
    lasted = silences[0][2] - silences[0][1] if silences else 0.0
    return Finding(LAW, "it is back after", "30 s to 40 s", f"{lasted:.1f} s", 29.5 <= lasted <= 41.0)
