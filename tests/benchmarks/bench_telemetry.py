"""What telemetry costs our sidecar proxy: its CPU time a request, by that of the same proxy without.

    python tests/benchmarks/bench_telemetry.py [--rounds N] [--requests N] [--mtls]
    python tests/benchmarks/bench_telemetry.py --instructions

Needs nghttp2-client and nginx (Debian); `--instructions` needs valgrind too. The load comes from h2load over
16 connections that are kept for a round, the answers from an nginx. A round measures all sides, one after the
other; figures are medians over the rounds, ratios medians of those within the rounds, in parentheses their
quartiles. Rounds are short and many, as that bears other work on the machine best. The sides:

    none     no access log, and no request is sampled. Metrics are counted: that can't be switched off
    log      an access log on disk
    traces   100 % of requests are sampled; spans go to the launcher twice a second, as with `live --otlp`
    both     log and traces
    rows     rows are kept for the results of a run, as `live` without `--no-load` does: no telemetry
    spans    rows and, until the end of the run, spans: 100 % are sampled, without `--otlp`

With --mtls a side is two proxies with TLS 1.3 between them, the second before a program, and the CPU time is
that of both. A request has three spans then instead of two, and lines of the log have principals.

What the proxy does not pay, or can't leave out, is measured by itself: a request's share of the metrics, as
calls from Python; a page of metrics; and what a span costs the launcher, which encodes, compresses and sends
it. With --instructions callgrind counts the machine instructions of sides in user mode instead: the same on a
busy machine as on an idle one, but without what the kernel does for them.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE)]

from proxies.sides import SCENARIO, Side, find, own_proxy, upstream  # noqa: E402

from meshsim.lab.traces import LiveTraces, sender_to  # noqa: E402
from meshsim.live.proxy.route import Passed  # noqa: E402
from meshsim.live.proxy.series import Series, request_metrics  # noqa: E402
from meshsim.measure.exposition import page  # noqa: E402
from meshsim.measure.istio import SOURCE  # noqa: E402
from meshsim.measure.spans import Spans  # noqa: E402
from meshsim.mesh.request import Request  # noqa: E402
from meshsim.mesh.spans import ATTEMPT_SPAN, CALL_SPAN, Tracer  # noqa: E402
from meshsim.scenario import loads  # noqa: E402

TRACED = "tracing: {sampling: 100%}\n"
SIDES: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("", {"log": False}),
    "log": ("", {}),
    "traces": (TRACED, {"log": False, "spans": True}),
    "both": (TRACED, {"spans": True}),
    "rows": ("", {"log": False, "keep": True}),
    "spans": (TRACED, {"log": False, "keep": True}),
}
"""What the scenario says besides, and the launcher."""
WHOLE = ["-m", "meshsim.live"]
SELDOM = ["-c", "from meshsim.live import child; child.STATS_INTERVAL = 3600.0; child.main()"]
"""A proxy that reports at its end alone: how often it does depends on the time, and so on the machine."""
FEW, MANY = 1000, 4000
"""Requests of the two runs under callgrind, whose difference counts."""
MICRO = 1e6


@contextmanager
def one(name: str, folder: Path, behind: int, command: list[str] = WHOLE, **more: Any) -> Iterator[Side]:
    """One proxy, the client's."""
    text, spec = SIDES[name]
    addresses: dict[str, list[str | int]] = {"echo/0": ["127.0.0.1", behind]}
    with own_proxy(command, "client/0", SCENARIO + text, folder, addresses, **spec, **more) as (ports, pid):
        yield Side(name, f"http://127.0.0.1:{ports['urls']['echo']}/", pid)


@contextmanager
def two(name: str, folder: Path, behind: int) -> Iterator[Side]:
    """Two proxies with mTLS between them, the second before a program."""
    from proxies.secured import meshsim_pair, scenario

    text, spec = SIDES[name]
    whole = scenario(False).replace("{time: 1ms}", "{time: 1ms, live: {command: ['true']}}") + text
    with meshsim_pair(folder, behind, False, whole, **spec) as side:
        side.name = name
        yield side


def measure(given: argparse.Namespace) -> None:
    """Has all sides in every round, and prints what is found."""
    found: dict[str, list[float]] = {name: [] for name in SIDES}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        behind = stack.enter_context(upstream(folder))
        make = two if given.mtls else one
        sides = [stack.enter_context(make(name, folder / name, behind)) for name in SIDES]
        for side in sides:
            load(side, given.requests)
        for number in range(given.rounds):
            for side in sides if number % 2 else reversed(sides):
                before = on_cpu(side)
                load(side, given.requests)
                found[side.name].append((on_cpu(side) - before) / given.requests * MICRO)
            print(f"  round {number + 1} of {given.rounds}", file=sys.stderr, flush=True)
    print("| | CPU, us | more, us | by none |")
    print("|---|---:|---:|---:|")
    for name, each in found.items():
        pairs = list(zip(each, found["none"], strict=True))
        more = statistics.median(own - other for own, other in pairs)
        ratios = (own / other for own, other in pairs)
        low, middle, high = statistics.quantiles(ratios, method="inclusive")
        print(
            f"| {name} | {statistics.median(each):.2f} | {more:.2f} | {middle:.3f} ({low:.3f}-{high:.3f}) |"
        )


def on_cpu(side: Side) -> float:
    """How long its processes have run so far, s; exact, where `Side.cpu` counts ticks."""
    each = (Path(f"/proc/{pid}/schedstat").read_text() for pid in (side.pid, *side.more))
    return sum(int(text.split()[0]) for text in each) / 1e9


def count(name: str, requests: int) -> int:
    """Machine instructions of a side for so many requests, and for its end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        behind = stack.enter_context(upstream(folder))
        written = folder / "callgrind"
        under = [find("valgrind"), "-q", "--tool=callgrind", f"--callgrind-out-file={written}"]
        with one(name, folder / name, behind, SELDOM, under=under) as side:
            load(side, 500)
            subprocess.run(["callgrind_control", "-z", str(side.pid)], check=True, capture_output=True)
            load(side, requests)
        total = re.search(r"^totals: (\d+)", written.read_text("utf-8"), re.MULTILINE)
        assert total is not None
        return int(total[1])


def load(side: Side, requests: int) -> None:
    """So many requests, over 16 connections."""
    command = [find("h2load"), "--h1", f"-n{requests}", "-c16", side.url]
    subprocess.run(command, check=True, capture_output=True)


def instructions() -> None:
    """Prints what callgrind counts."""
    base = 0.0
    for name in ("none", "log", "traces", "both"):
        each = (count(name, MANY) - count(name, FEW)) / (MANY - FEW)
        base = base or each
        print(f"{name:8}{each:>8,.0f} instructions a request, {each / base:.3f}", flush=True)


# ---- by itself -------------------------------------------------------------------------------------------


def metrics(times: int = 200_000) -> None:
    """Prints a request's share of the metrics, and what a page of them costs."""
    series, passed = Series(SOURCE, "client", "v1", "echo", "v1"), Passed()
    began = time.process_time()
    for _ in range(times):
        series.count(200, "", 0.0005, 0, 5, "v1", "")
        passed.answered(200, 0.0005, 1, False)
    between = time.process_time()
    for _ in range(times // 1000):
        text = page(request_metrics([series]))
    ended = time.process_time()
    each, whole = (between - began) / times, (ended - between) / (times // 1000)
    print(f"metrics: {each * MICRO:.2f} us a request; a page of {len(text)} bytes: {whole * MICRO:.0f} us")


def launcher(spans: int = 20_000, times: int = 10) -> None:
    """Prints what a span costs who sends it."""
    tracer = Tracer()
    request = Request(-1, 7, 0.0, 0, True)
    for number in range(spans // 2):
        request.half, request.key = 1, number + 1
        tracer.add(CALL_SPAN, request, 2 * number + 1, 0, 0, -1, 1, 0, False, number, number + 1.0, 200, 0)
        own = 2 * number + 2
        tracer.add(ATTEMPT_SPAN, request, own, own - 1, 0, 0, 0, 0, False, number, number + 1.0, 200, 0)
    packed = Spans.of(tracer).packed()
    with tempfile.TemporaryDirectory() as folder, upstream(Path(folder)) as port:
        sender = sender_to(f"http://127.0.0.1:{port}", float("inf"))
        traces = LiveTraces(sender, loads(SCENARIO))
        with traces:
            began = time.process_time()
            for number in range(1, times + 1):
                traces.sink("client/0", packed, 0)
                while sender.sent < number * spans:
                    time.sleep(0.005)
            took = time.process_time() - began
    print(f"the launcher: {took / spans / times * MICRO:.1f} us a span, in a process of its own")


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument(
        "--requests", type=int, default=4000, help="of a side in a round (default: %(default)s)"
    )
    parser.add_argument("--mtls", action="store_true", help="two proxies in a row, with mTLS between them")
    parser.add_argument("--instructions", action="store_true", help="count instructions under callgrind")
    given = parser.parse_args()
    if given.instructions:
        instructions()
        return
    measure(given)
    metrics()
    launcher()


if __name__ == "__main__":
    main()
