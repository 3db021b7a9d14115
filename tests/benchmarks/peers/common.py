"""The three systems that every peer simulates, and the line of JSON in which each program tells its result.

Standard library only: each program runs in its peer's own virtual environment.

    python PROGRAM.py SYSTEM REQUESTS SEED [FORM]

A peer may be told a system in more than one form; FORM names one, the first is the default.

The chain: a calls b, b calls c, and the caller's worker stays busy until it has its answer.

    client ─► a ─► b ─► c        8, 6 and 4 workers, each with 5 ms of its own work
              ◄─── ◄─── ◄───     a request holds a worker of a all the time, of b while it is in b or c
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

BATCHES = 20
SKIPPED = 0.05
"""Of the requests, the first ones, which found the system too empty: they are no results."""


class CannotExpressError(Exception):
    """The peer has no way to say this system; the message says why."""


@dataclass(frozen=True, slots=True)
class Station:
    """Equal workers behind one queue, first come first served.

    Attributes:
        workers: requests served at once.
        mean: of the exponential time of a request's own work there, s.
    """

    workers: int
    mean: float


@dataclass(frozen=True, slots=True)
class System:
    """Poisson arrivals at the first station; each station calls the next and holds its worker meanwhile.

    Attributes:
        rate: of arrivals, 1/s.
        stations: in the order of the calls.
    """

    rate: float
    stations: tuple[Station, ...]


SYSTEMS = {
    "mm1": System(80.0, (Station(1, 0.010),)),
    "mm4": System(320.0, (Station(4, 0.010),)),
    "chain": System(350.0, (Station(8, 0.005), Station(6, 0.005), Station(4, 0.005))),
}

Result = dict[str, float | None]
"""What is compared: requests, mean and p99, s, and the mean's standard error, None where it is unknown."""

Latencies = Sequence[float] | Result
"""The time of each request, s, about in the order in which they ended; or all that a peer leaves of it."""

Run = Callable[[], Latencies | Callable[[], Latencies]]
"""Simulates; returns the latencies, or what reads them from the peer's own records, which is not timed."""


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of values that depend on their neighbours, by batch means."""
    size = len(values) // BATCHES
    means = [statistics.fmean(values[i * size : (i + 1) * size]) for i in range(BATCHES)]
    return statistics.stdev(means) / math.sqrt(BATCHES)


def result(latencies: Latencies) -> Result:
    """What is compared, from the time of each request."""
    if isinstance(latencies, dict):
        return latencies
    measured = list(latencies[int(SKIPPED * len(latencies)) :])
    rank = math.ceil(0.99 * len(measured)) - 1
    return {
        "requests": len(latencies),
        "mean": statistics.fmean(measured),
        "p99": sorted(measured)[rank],
        "se": standard_error(measured),
    }


Build = Callable[[System, int, int], Run]
"""Makes the model of a system for so many requests and a seed, compiled where the peer compiles."""


def main(peer: str, version: str, forms: dict[str, Build]) -> None:
    """Runs a peer's program. `seconds` is the simulation alone; `startup_s` is all before it.

    Start-up is the interpreter, imports, building the model and compiling it, in seconds of the processor.

    Args:
        peer: its name.
        version: of the package.
        forms: in which it can be told a system, by name.
    """
    name, requests, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    form = sys.argv[4] if len(sys.argv) > 4 else next(iter(forms))
    line: dict[str, object] = {"peer": peer, "form": form, "version": version, "system": name}
    try:
        run = forms[form](SYSTEMS[name], requests, seed)
    except CannotExpressError as reason:
        print(json.dumps({**line, "cannot": str(reason)}))
        return
    startup = time.process_time()  # of the processor, since the process began
    begin = time.perf_counter()
    latencies = run()
    seconds = time.perf_counter() - begin
    timing = {"seconds": seconds, "startup_s": startup, "python": sys.version.split()[0]}
    told = result(latencies() if callable(latencies) else latencies)
    print(json.dumps({**line, **timing, **told}))
