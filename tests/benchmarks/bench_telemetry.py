"""What telemetry costs the sidecar proxy: CPU time a request with it, by that without.

    python tests/benchmarks/bench_telemetry.py [--rounds N] [--seconds S] [--connections C] [--only NAME]...

Needs wrk and nginx (Debian).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from bench_proxy import throughput  # noqa: E402
from proxies.sides import SCENARIO, Side, own_proxy, upstream  # noqa: E402

TRACED = SCENARIO + "tracing: {sampling: 100%}\n"
UNTRACED = SCENARIO + "tracing: {sampling: 0%}\n"


@contextmanager
def proxy(name: str, scenario: str, folder: Path, behind: int, **spec: Any) -> Iterator[Side]:
    command, addresses = ["-m", "meshsim.live"], {"echo/0": ["127.0.0.1", behind]}
    with own_proxy(command, "client/0", scenario, folder, addresses, **spec) as (ports, pid):
        yield Side(name, f"http://127.0.0.1:{ports['urls']['echo']}/", pid)


SIDES = {
    "none": partial(proxy, "none", UNTRACED, log=False),
    "log": partial(proxy, "log", UNTRACED),
    "otlp": partial(proxy, "otlp", TRACED, log=False, spans=True),
    "all": partial(proxy, "all", TRACED, spans=True),
    "rows": partial(proxy, "rows", UNTRACED, log=False, keep=True),
    "rows+spans": partial(proxy, "rows+spans", TRACED, log=False, keep=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", action="append", choices=list(SIDES), default=[])
    given = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        behind = stack.enter_context(upstream(folder))
        sides = [
            stack.enter_context(make(folder / name, behind))
            for name, make in SIDES.items()
            if not given.only or name in given.only
        ]
        for side in sides:
            throughput(side, 1, given.connections)
        for _ in range(given.rounds):
            for side in sides:
                rate, user, system = throughput(side, given.seconds, given.connections)
                found.setdefault(side.name, []).append((user, system))
                print(side.name, f"{rate:.0f} {user:.2f} {system:.2f}", file=sys.stderr, flush=True)
    base = found["none"]
    for name, rows in found.items():
        user = statistics.median(u for u, _ in rows)
        system = statistics.median(s for _, s in rows)
        ratios = sorted(sum(r) / sum(b) for r, b in zip(rows, base))
        extra = statistics.median(sum(r) - sum(b) for r, b in zip(rows, base))
        print(
            f"{name:12} {user:.2f} + {system:.2f}  {statistics.median(ratios):.3f} ({ratios[0]:.3f}..{ratios[-1]:.3f}) {extra:+.2f} us"
        )


if __name__ == "__main__":
    main()
