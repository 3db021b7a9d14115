"""How cost grows: ns an event and bytes against services, replicas and requests in flight; and 10^9 requests.

    python tests/benchmarks/bench_scaling.py [--engine fast|simpy] [--requests N] [--rounds N] [--markdown]

    services    the same app of five services, each with its own load, until there are 1 to 1,000
    replicas    one service, 70 % busy, of 1 to 1,000 replicas
    in flight   one service of unlimited workers, so slow that 1 to 10^6 requests are there at once

A request does the same work at every point of an axis. Every point is a process of its own, measured in
turn; cost is the median over the rounds. Memory is compared between runs of equally many requests. Prints the
tables, among them what a study of 10^9 requests takes on N machines, and draws docs/images/scaling.png.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meshsim import engine
from meshsim.errors import MeshsimError
from meshsim.scenario.model import Scenario

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "scaling.png"
SERVICES = (1, 5, 25, 100, 300, 1_000)
REPLICAS = (1, 10, 100, 300, 1_000)
IN_FLIGHT = (1, 100, 10_000, 100_000, 1_000_000)
REQUESTS = {"fast": 200_000, "simpy": 10_000}
"""At each point, unless asked otherwise."""
LARGEST = {"fast": 1_000_000, "simpy": 10_000}
"""Requests in flight, unless asked otherwise: SimPy's take gigabytes."""
FILLED = 2
"""So many times as many requests as are to be in flight: 86 % of these are, at the end of the load."""
STUDY = 1_000_000_000
MACHINES = (1, 2, 4, 8, 16, 64)
CORES = 8
"""Of a machine in the study's table."""

Document = dict[str, Any]

# ---- the three axes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement.

    Attributes:
        axis: ``services``, ``replicas`` or ``in flight``.
        size: how many.
        requests: of the run.
    """

    axis: str
    size: int
    requests: int


def apps(services: int, requests: int) -> Document:
    """The same app of five services again and again; of one service where there is but one."""
    groups, rate = max(1, services // 5), 100.0
    if services == 1:
        document = {"services": {"front": service(2)}, "load": [{"to": "front", "rate": f"{rate}/s"}]}
    else:
        document = {"services": {}, "load": []}
        for n in range(groups):
            names = {name: f"{name}{n}" for name in ("front", "cart", "search", "stock", "store")}
            document["services"] |= {
                names["front"]: service(16, [[{"call": names["cart"]}, {"call": names["search"]}]]),
                names["cart"]: service(8, [{"call": names["stock"]}]),
                names["search"]: service(8, [{"call": names["store"]}]),
                names["stock"]: service(2),
                names["store"]: service(2),
            }
            document["load"].append({"to": names["front"], "rate": f"{rate}/s"})
    retries = {"timeout": "1s", "retries": {"attempts": 2, "per_try_timeout": "300ms"}}
    return {
        **document,
        "duration": f"{requests / groups / rate!r}s",
        "mesh": {"dataplane": "sidecar", "proxy": {"time": "0.2ms"}},
        "links": {"default": {"latency": "0.5ms"}},
        "policies": dict.fromkeys(document["services"], retries),
    }


def service(workers: int, script: list[Any] | None = None) -> Document:
    """10 ms of its own work; so many workers are at most half busy at 100 requests/s, held ones included."""
    return {"workers": workers, "time": {"exponential": "10ms"}, **({"script": script} if script else {})}


def pool(replicas: int, requests: int) -> Document:
    """Replicas of one service, chosen by two random choices, each with 70 requests/s."""
    rate = 70.0 * replicas
    return {
        "services": {"x": {"replicas": replicas, "workers": 1, "time": {"exponential": "10ms"}}},
        "policies": {"x": {"balance": {"least_request": {"choices": 2}}}},
        "load": [{"to": "x", "rate": f"{rate!r}/s"}],
        "duration": f"{requests / rate!r}s",
    }


def crowd(in_flight: int, requests: int) -> Document:
    """A service in which every request stays until about so many are there."""
    rate = 1_000.0
    return {
        "services": {"x": {"time": {"exponential": f"{in_flight / rate!r}s"}}},
        "load": [{"to": "x", "rate": f"{rate!r}/s"}],
        "duration": f"{requests / rate!r}s",
        "drain": f"{40.0 * in_flight / rate + 60.0!r}s",
    }


SHAPES = {"services": apps, "replicas": pool, "in flight": crowd}


def points(requests: int, most: int) -> list[Point]:
    """All of them; and the smallest crowd once more, with as many requests, and so rows, as the largest."""
    crowds = [Point("in flight", size, max(requests, FILLED * size)) for size in IN_FLIGHT if size <= most]
    few = Point("in flight", crowds[0].size, crowds[-1].requests)
    found = [Point("services", size, requests) for size in SERVICES]
    found += [Point("replicas", size, requests) for size in REPLICAS]
    return list(dict.fromkeys([*found, *crowds, few]))


# ---- measuring --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took.

    Attributes:
        ns: an event.
        events: a request.
        requests: that arrived.
        seconds: of the simulation.
        built: to put the mesh together, s.
        grown_bytes: by how much the process grew.
    """

    ns: float
    events: float
    requests: int
    seconds: float
    built: float
    grown_bytes: int


def cost(point: Point, name: str) -> Cost:
    """Measures a point in this process.

    Raises:
        MeshsimError: this version of meshsim has no such engine, or counts no events.
    """
    kind = getattr(engine, {"fast": "FastSimulation", "simpy": "Simulation"}[name], None)
    if kind is None:
        raise MeshsimError(f"no engine {name!r} in this version of meshsim; ask for --engine simpy")
    kind(scenario_of(Point("services", 5, 100))).run()  # imports, first calls
    scenario, before = scenario_of(point), largest_bytes()
    begin = time.perf_counter()
    simulation = kind(scenario)
    built = time.perf_counter()
    records = simulation.run()
    seconds = time.perf_counter() - built
    events, requests = getattr(records, "events", 0), len(records.requests.start)
    if not events:
        raise MeshsimError(f"the {name} engine of this version of meshsim counts no events")
    grown = largest_bytes() - before
    return Cost(1e9 * seconds / events, events / requests, requests, seconds, built - begin, grown)


def scenario_of(point: Point) -> Scenario:
    """The scenario of a point, without spans."""
    document = SHAPES[point.axis](point.size, point.requests)
    return Scenario.model_validate({"tracing": {"sampling": 0.0}, **document})


def largest_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(chosen: list[Point], name: str, rounds: int) -> dict[Point, Cost]:
    """All rounds, each point in a process of its own; medians."""
    found: dict[Point, list[Cost]] = {point: [] for point in chosen}
    for number in range(rounds):
        for point in chosen:
            command = [sys.executable, __file__, "--engine", name, "--point", json.dumps(asdict(point))]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr.strip().splitlines()[-1])
            measured = Cost(**json.loads(done.stdout))
            found[point].append(measured)
            told = f"round {number + 1}  {point.size:>9,} {point.axis:<10}{measured.ns:>9,.0f} ns/event"
            print(told, file=sys.stderr, flush=True)
    return {point: median(costs) for point, costs in found.items()}


def median(costs: list[Cost]) -> Cost:
    """Each number by itself."""
    return Cost(
        *(statistics.median(column) for column in zip(*(asdict(c).values() for c in costs), strict=True))
    )


# ---- telling ----------------------------------------------------------------------------------------


def slope(found: dict[Point, Cost], axis: str) -> float:
    """Bytes that one more takes: a straight line from smallest to largest, of equally many requests."""
    most = max((point.size, point.requests) for point in found if point.axis == axis)[1]
    costs = [(point, each) for point, each in found.items() if (point.axis, point.requests) == (axis, most)]
    # One service alone makes other rows than an app of five.
    line = sorted((p.size, each.grown_bytes) for p, each in costs if (axis, p.size) != ("services", 1))
    (few, less), (many, more) = line[0], line[-1]
    return (more - less) / (many - few) if many > few else math.nan


def growth(found: dict[Point, Cost], axis: str, small: int) -> float:
    """How many times as much an event costs at the largest size as at a small one."""
    sizes = {point.size: each.ns for point, each in drawn(found, axis)}
    return sizes[max(sizes)] / sizes[small]


def drawn(found: dict[Point, Cost], axis: str) -> list[tuple[Point, Cost]]:
    """The points of an axis by size, of those of one size the one with the fewest requests."""
    chosen = sorted((p for p in found if p.axis == axis), key=lambda p: (p.size, -p.requests))
    return [(point, found[point]) for point in {point.size: point for point in chosen}.values()]


def costs_table(found: dict[Point, Cost]) -> list[list[str]]:
    """A row a point."""
    rows = [["", "requests", "ns/event", "events/request", "requests/s", "to build, s", "grown, MB"]]
    for point, each in found.items():
        speed = each.requests / each.seconds
        row = [
            f"{each.requests:,.0f}",
            f"{each.ns:,.0f}",
            f"{each.events:.1f}",
            f"{speed:,.0f}",
            f"{each.built:.3f}",
        ]
        rows.append([f"{point.axis}: {point.size:,}", *row, f"{each.grown_bytes / 1e6:,.0f}"])
    return rows


def study(ns: float, events: float, requests: float = STUDY) -> list[list[str]]:
    """What a study takes on 1, 2, 4, ... machines of eight cores, from the cost of an event.

    Replications are independent and share nothing, so that every core has its part of the requests. Starting
    the processes and gathering the results, seconds in all, is not counted.

    Args:
        ns: an event, on one core.
        events: a request.
        requests: of all replications together.
    """
    rows = [["machines", "cores", "time"]]
    core_seconds = requests * events * ns * 1e-9
    for machines in MACHINES:
        rows.append([f"{machines}", f"{machines * CORES}", spoken(core_seconds / (machines * CORES))])
    return rows


def spoken(seconds: float) -> str:
    """A time as people say it."""
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def remarks(found: dict[Point, Cost], name: str) -> list[str]:
    """The ratios and slopes, in words."""
    most = max(point.size for point in found if point.axis == "in flight")
    lines = [
        f"ns/event at 1,000 services: {growth(found, 'services', 5):.2f} times that at 5 (aim: at most 3)",
        f"ns/event at 1,000 replicas: {growth(found, 'replicas', 1):.2f} times that at 1",
        f"ns/event at {most:,} in flight: {growth(found, 'in flight', 1):.2f} times that at 1",
    ]
    for axis, one in (("services", "service"), ("replicas", "replica"), ("in flight", "request in flight")):
        lines.append(f"bytes for one more {one}: {slope(found, axis):,.0f}")
    return [f"engine: {name}, rows kept", *lines]


def rendered(rows: list[list[str]], markdown: bool) -> str:
    """A table as text or Markdown."""
    if markdown:
        rule = ["---", *["---:"] * (len(rows[0]) - 1)]
        return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def draw(found: dict[Point, Cost], name: str) -> None:
    """Cost and memory, a panel each, over the number of services, replicas and requests in flight."""
    from meshsim.plot import style

    figure = style.Picture(7.0, 8.0)
    figure.suptitle(f"How cost grows ({name} engine)", x=0.075, ha="left", fontsize=12, color=style.INK)
    panels = figure.subplots(2, 1, sharex=True)
    figure.subplots_adjust(left=0.075, right=0.82, top=0.90, bottom=0.08, hspace=0.22)
    ends: list[list[style.LineEnd]] = [[], []]
    for look, axis in zip(style.LINES, SHAPES, strict=False):
        line = [(point.size, each.ns, each.grown_bytes / 1e6) for point, each in drawn(found, axis)]
        x, *values = (np.array(column) for column in zip(*line, strict=True))
        for panel, y, named in zip(panels, values, ends, strict=True):
            panel.plot(x, np.maximum(y, 0.1), marker="o", markersize=3, **look)
            named.append(style.LineEnd(axis, float(x[-1]), float(max(y[-1], 0.1)), look["color"]))
    for panel, label, named in zip(panels, ("ns an event", "memory of the run, MB"), ends, strict=True):
        panel.set_xscale("log")
        panel.set_yscale("log")
        style.tidy(panel, label)
        style.name_lines(panel, named)
    panels[1].set_xlabel("services, replicas, requests in flight", fontsize=style.SIZE, color=style.INK)
    figure.alt = "; ".join(remarks(found, name))
    PICTURE.write_bytes(figure.png())


def main() -> None:
    """Measures all points, prints the tables, draws the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    best = "fast" if hasattr(engine, "FastSimulation") else "simpy"
    parser.add_argument("--engine", choices=("fast", "simpy"), default=best, help=f"here by default {best}")
    parser.add_argument("--requests", type=int, help=f"of each point (default {REQUESTS})")
    parser.add_argument("--in-flight", type=int, help=f"at most (default {LARGEST})")
    parser.add_argument("--rounds", type=int, default=3, help="how often each point is measured (default 3)")
    parser.add_argument("--markdown", action="store_true", help="tables for the documentation")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        print(json.dumps(asdict(cost(Point(**json.loads(asked.point)), asked.engine))))
        return
    if best != "fast":
        print("NOTE: no fast engine in this version of meshsim; measuring its SimPy engine", file=sys.stderr)
    requests, most = asked.requests or REQUESTS[asked.engine], asked.in_flight or LARGEST[asked.engine]
    found = measure(points(requests, most), asked.engine, asked.rounds)
    app = next(each for point, each in found.items() if (point.axis, point.size) == ("services", 5))
    told = f"{STUDY:,} requests to an app of five services, {app.events:.0f} events each:"
    tables = [rendered(costs_table(found), asked.markdown), "\n".join(remarks(found, asked.engine))]
    print("\n\n".join([*tables, told, rendered(study(app.ns, app.events), asked.markdown)]))
    draw(found, asked.engine)
    print(f"\n{PICTURE}")


if __name__ == "__main__":
    main()
