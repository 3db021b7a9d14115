"""Whether requests feel the receiver of their traces, and whether 10,000 of them arrive there whole.

    python -m tests.benchmarks.bench_traces                 10,000 requests, then 5 rounds of each receiver
    python -m tests.benchmarks.bench_traces --rounds 2 --requests 2000

First a live and a simulated run of so many requests, each traced: how many spans the receiver has, and what
is wrong with them (ids that are there twice, parents that are not). Then short live runs, each round one with
each receiver, beside one without: the medians over the rounds of a round's ratio of latencies.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

import meshsim
from meshsim.lab.live import LiveRun, run_live
from meshsim.scenario import loads
from meshsim.scenario.model import Scenario
from tests.live.otlp.receiver import Receiver, wrong_trees
from tests.live.otlp.test_sender import closed_port

SCENARIO = """
name: traces
duration: {duration}s
seed: 5
services:
  front: {{time: 1ms, replicas: 2, script: [{{call: back}}]}}
  back: {{time: 1ms, replicas: 2, errors: 1%}}
mesh: {{dataplane: sidecar}}
policies: {{back: {{retries: {{attempts: 2, on: [5xx], backoff: {{base: 1ms}}}}}}}}
load: [{{to: front, rate: {rate}/s}}]
tracing: {{sampling: 100%}}
"""
REFUSED = [(429, {})] * 100_000
PAUSED: list[tuple[int, dict[str, str]]] = [(429, {"retry-after": "5"})] * 100_000


def whole(scenario: Scenario) -> None:
    """Prints what a receiver has of a live and of a simulated run."""
    for name, run in (("live", run_live), ("simulated", meshsim.run)):
        with Receiver() as receiver:
            began = time.perf_counter()
            found = run(scenario, otlp=receiver.url)
            took = time.perf_counter() - began
        traces, requests = found.summary["traces"], found.summary["requests"]
        ids = {span.id for span in receiver.spans}
        wrong = [*receiver.problems, *wrong_trees(receiver.spans)]
        print(
            f"{name}: {requests['completed']:,} of {requests['offered']:,} requests answered,"
            f" {requests['failed']} failed; {len(receiver.spans):,} of {len(found.spans):,} spans arrived,"
            f" {len(ids):,} ids, {len(wrong)} wrong; {traces['retries']} batches sent again; {took:.0f} s"
        )


class Late(Receiver):
    """A receiver that is not there yet when the run begins."""

    def __enter__(self) -> Receiver:
        self.port = closed_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.timer = threading.Timer(4.0, super().__enter__)
        self.timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.timer.join()
        super().__exit__(*error)


def receivers() -> dict[str, tuple[AbstractContextManager[Any], str | None]]:
    """Each with the URL that the mesh gets, if it has none of its own."""
    return {
        "none": (nullcontext(), None),
        "good": (Receiver(), None),
        "slow, 1 s an answer": (Receiver(delay=1.0), None),
        "429": (Receiver(answers=[*REFUSED]), None),
        "429 with Retry-After": (Receiver(answers=[*PAUSED]), None),
        "down": (nullcontext(), f"http://127.0.0.1:{closed_port()}"),
        "down at first": (Late(), None),
    }


def latencies(found: LiveRun) -> tuple[float, float, int]:
    """The median and the 99th percentile, s, and how many requests failed or never ended."""
    rows = found.records[0].requests
    p50, p99 = np.nanquantile(rows.end - rows.start, [0.5, 0.99])
    return float(p50), float(p99), int((rows.status != 200).sum())


def rounds(scenario: Scenario, number: int) -> None:
    """Prints the latencies with each receiver as ratios to those without one."""
    ratios: dict[str, list[tuple[float, float]]] = {}
    lost: dict[str, list[int]] = {}
    for _ in range(number):
        base = (0.0, 0.0)
        for name, (receiver, url) in receivers().items():
            with receiver:
                found = run_live(scenario, otlp=getattr(receiver, "url", url))
            *each, failed = latencies(found)
            base = (each[0], each[1]) if name == "none" else base
            ratios.setdefault(name, []).append((each[0] / base[0], each[1] / base[1]))
            traces = found.summary.get("traces") or {"sent": 0, "dropped": 0}
            lost.setdefault(name, []).append(failed)
            print(
                f"  {name}: p50 {1e3 * each[0]:.2f} ms, p99 {1e3 * each[1]:.2f} ms, {failed} failed;"
                f" {traces['sent']} spans sent, {traces['dropped']} dropped"
            )
    for name, found_ratios in ratios.items():
        p50, p99 = (statistics.median(each[at] for each in found_ratios) for at in (0, 1))
        print(f"{name}: p50 x {p50:.2f}, p99 x {p99:.2f}, {sum(lost[name])} failed")


def main() -> None:
    """Measures, as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=200, help="requests a second")
    given = parser.parse_args()
    if given.requests:
        # a few more than asked for: arrivals are random
        whole(loads(SCENARIO.format(duration=1.03 * given.requests / given.rate, rate=given.rate)))
    if given.rounds:
        rounds(loads(SCENARIO.format(duration=5, rate=given.rate)), given.rounds)


if __name__ == "__main__":
    main()
