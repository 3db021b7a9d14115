"""salabim, in yield mode. Two forms: `request`, a Component for each request, as its documentation has it;
`worker`, a Component for each worker of the first station, to whom requests are times in a queue.

Each Component that is made compares the signatures of its methods by `inspect`, which costs more than all
the rest. Yieldless mode (greenlets) took a tenth longer, in the one run that compared them; monitors,
which nobody reads here, are off.
"""

from __future__ import annotations

from collections import deque
from importlib.metadata import version
from random import Random

import salabim as sim
from common import Run, System, main


class Quiet(sim.Component):
    """A component without statistics of its own."""

    def setup(self):
        """Called by salabim when it is made."""
        self.mode.monitor(False)
        self.status.monitor(False)


def environment() -> sim.Environment:
    """A new one."""
    sim.yieldless(False)
    return sim.Environment(trace=False)


def requests_as_components(system: System, requests: int, seed: int) -> Run:
    """A component a request."""
    env, draw, latencies = environment(), Random(seed).expovariate, []
    tiers = [
        (sim.Resource(capacity=each.workers, monitor=False), 1.0 / each.mean) for each in system.stations
    ]

    class Request(Quiet):
        def process(self):
            sent = env.now()
            for pool, rate in tiers:
                yield self.request(pool)
                yield self.hold(draw(rate))
            self.release()
            latencies.append(env.now() - sent)

    class Source(Quiet):
        def process(self):
            for _ in range(requests):
                yield self.hold(draw(system.rate))
                Request()

    def run() -> list[float]:
        Source()
        env.run()
        return latencies

    return run


def workers_as_components(system: System, requests: int, seed: int) -> Run:
    """A component a worker of the first station."""
    env, draw, latencies = environment(), Random(seed).expovariate, []
    first, *below = system.stations
    pools = [(sim.Resource(capacity=each.workers, monitor=False), 1.0 / each.mean) for each in below]
    waiting: deque[float] = deque()
    idle: list[Quiet] = []

    class Worker(Quiet):
        def process(self):
            while True:
                while not waiting:
                    idle.append(self)
                    yield self.passivate()
                sent = waiting.popleft()
                yield self.hold(draw(1.0 / first.mean))
                for pool, rate in pools:
                    yield self.request(pool)
                    yield self.hold(draw(rate))
                if pools:
                    self.release()
                latencies.append(env.now() - sent)

    class Source(Quiet):
        def process(self):
            for _ in range(requests):
                yield self.hold(draw(system.rate))
                waiting.append(env.now())
                if idle:
                    idle.pop().activate()

    def run() -> list[float]:
        for _ in range(first.workers):
            Worker()
        Source()
        env.run()
        return latencies

    return run


if __name__ == "__main__":
    main("salabim", version("salabim"), {"request": requests_as_components, "worker": workers_as_components})
