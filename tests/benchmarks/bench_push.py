"""How long a push takes until it is in force everywhere, and what a control plane that dies costs: nothing.

    python -m tests.benchmarks.bench_push          20 pushes to 60 proxies, then 100 kills, under load
    python -m tests.benchmarks.bench_push --kills 20 --proxies 20

Prints for pushes the time from the order to the answer that all have it, and for both how many requests fail.
Kills come at random times; certificates live for seconds, and are renewed between them.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable

from meshsim.lab import steer
from meshsim.lab.live import LiveRun, run_live
from meshsim.live.launch import LiveMesh
from meshsim.scenario import loads

SCENARIO = """
name: {name}
duration: {duration}s
seed: 5
load: [{{to: front, rate: {rate}/s}}]
policies: {{back: {{timeout: 2s}}}}
services:
  front: {{time: 1ms, script: [{{call: back}}]}}
  back: {{time: 1ms, replicas: {replicas}}}
mesh: {{dataplane: sidecar{mesh}}}
"""
MTLS = ", mtls: {mode: strict, certificate_ttl: 6s, jitter: 5%, ca: {retry: {base: 100ms, max: 500ms}}}"


def run(text: str, meanwhile: Callable[[LiveMesh], None]) -> LiveRun:
    """A live run, and what is done meanwhile in a thread."""
    threads: list[threading.Thread] = []

    def ready(mesh: LiveMesh) -> None:
        threads.append(threading.Thread(target=meanwhile, args=(mesh,)))
        threads[0].start()

    found = run_live(loads(text), ready=ready)
    threads[0].join()
    return found


def outcomes(found: LiveRun) -> str:
    """How requests ended."""
    requests = found.records[0].requests
    counts = Counter(zip(requests.status.tolist(), requests.flag.tolist(), strict=True))
    failed = sum(number for (status, _), number in counts.items() if status != 200)
    return f"{failed} of {len(requests.start)} requests failed {dict(counts) if failed else ''}"


def pushes(proxies: int, number: int, rate: float) -> None:
    """Pushes of one policy to so many proxies, under load."""
    took: list[float] = []

    def push(mesh: LiveMesh) -> None:
        time.sleep(1.0)
        for n in range(number):
            began = time.monotonic()
            answer = steer.set_live({"policies.back.timeout": f"{2000 + n}ms"}, mesh=mesh.control.url)
            took.append(time.monotonic() - began)
            assert not answer.missing, answer
            assert answer.proxies == proxies, answer
            time.sleep(0.2)

    found = run(
        SCENARIO.format(name="pushes", duration=6 + number // 2, rate=rate, replicas=proxies - 2, mesh=""),
        push,
    )
    longest, middle = 1e3 * max(took), 1e3 * statistics.median(took)
    print(f"{number} pushes to {proxies} proxies: in force everywhere after {middle:.0f} ms (median),")
    print(f"{longest:.0f} ms (longest); {outcomes(found)}")


def kills(number: int, rate: float) -> None:
    """The control plane is killed so many times, under load, with certificates that live for seconds."""
    killed = []

    def kill(mesh: LiveMesh) -> None:
        draw = random.Random(7)
        while len(killed) < number and mesh.now < duration - 8:
            time.sleep(draw.uniform(0.02, 1.0))
            pid = mesh.control.pid
            if pid and pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        ended.append(mesh.now)

    ended: list[float] = []
    duration = 30 + number
    found = run(SCENARIO.format(name="kills", duration=duration, rate=rate, replicas=3, mesh=MTLS), kill)
    signed = [time for time, _, what in found.records[0].certificates or [] if what == "signed"]
    after = sum(at > ended[0] + 1.0 for at in signed)
    certificates = found.summary["certificates"]
    print(f"{len(killed)} kills of the control plane in {ended[0]:.0f} s: {outcomes(found)};"
          f" {certificates['signed']} certificates renewed, {after} of them after the last kill,"
          f" {certificates['expired']} expired")  # fmt: skip


def main() -> None:
    """The program."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--proxies", type=int, default=60)
    options.add_argument("--pushes", type=int, default=20)
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--rate", type=float, default=50.0)
    given = options.parse_args()
    if given.pushes:
        pushes(given.proxies, given.pushes, given.rate)
    if given.kills:
        kills(given.kills, given.rate)


if __name__ == "__main__":
    main()
