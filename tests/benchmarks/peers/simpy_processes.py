"""SimPy. Two forms: `request`, as its documentation teaches, a process for each request and a Resource for
each pool of workers; and `worker`, a process for each worker of the first station, who takes requests
from a Store.
"""

from __future__ import annotations

from importlib.metadata import version
from random import Random

import simpy
from common import Run, System, main


def requests_as_processes(system: System, requests: int, seed: int) -> Run:
    """A process a request."""
    env, draw, latencies = simpy.Environment(), Random(seed).expovariate, []
    tiers = [(simpy.Resource(env, each.workers), 1.0 / each.mean) for each in system.stations]

    def serve(depth: int):
        workers, rate = tiers[depth]
        with workers.request() as worker:
            yield worker
            yield env.timeout(draw(rate))
            if depth + 1 < len(tiers):
                yield from serve(depth + 1)

    def request():
        sent = env.now
        yield from serve(0)
        latencies.append(env.now - sent)

    def source():
        for _ in range(requests):
            yield env.timeout(draw(system.rate))
            env.process(request())

    def run() -> list[float]:
        env.process(source())
        env.run()
        return latencies

    return run


def workers_as_processes(system: System, requests: int, seed: int) -> Run:
    """A process a worker of the first station; a request is the time at which it was sent."""
    env, draw, latencies = simpy.Environment(), Random(seed).expovariate, []
    first, *below = system.stations
    waiting = simpy.Store(env)
    pools = [(simpy.Resource(env, each.workers), 1.0 / each.mean) for each in below]

    def serve(depth: int):
        if depth < len(pools):
            workers, rate = pools[depth]
            with workers.request() as worker:
                yield worker
                yield env.timeout(draw(rate))
                yield from serve(depth + 1)

    def worker():
        while True:
            sent = yield waiting.get()
            yield env.timeout(draw(1.0 / first.mean))
            yield from serve(0)
            latencies.append(env.now - sent)

    def source():
        for _ in range(requests):
            yield env.timeout(draw(system.rate))
            waiting.put(env.now)

    def run() -> list[float]:
        env.process(source())
        for _ in range(first.workers):
            env.process(worker())
        env.run()
        return latencies

    return run


if __name__ == "__main__":
    main("SimPy", version("simpy"), {"request": requests_as_processes, "worker": workers_as_processes})
