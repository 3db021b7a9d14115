"""cimba: models that numba compiles, run as stackful coroutines by a C library.

Two forms. `worker`: a process for each worker of the first station; requests are times in a store.
`request`: a model is spawned for each request. Pools of workers are containers, which cost less here than
resources.
"""

from __future__ import annotations

from importlib.metadata import version

import cimba as cb
from cimba import random
from common import Run, System, main

# ---- a process a worker -----------------------------------------------------------------------------


class Station(cb.Model):
    """Arrivals, and the queue of the first station."""

    requests: cb.Param[int] = 0
    gap: cb.Param[float] = 0.0
    time: cb.Param[float] = 0.0
    waiting: cb.Store[float] = cb.Store()
    latencies: cb.Dataset = cb.Dataset()

    @cb.process
    def arrivals(self):
        for _ in range(self.requests):
            cb.hold(random.exponential(self.gap))
            self.waiting.put(cb.now())


class OneWorker(Station):
    """M/M/1."""

    @cb.process
    def worker(self):
        while True:
            sent = self.waiting.get()
            cb.hold(random.exponential(self.time))
            self.latencies.record(cb.now() - sent)


class FourWorkers(Station):
    """M/M/4."""

    @cb.process(copies=4)
    def worker(self):
        while True:
            sent = self.waiting.get()
            cb.hold(random.exponential(self.time))
            self.latencies.record(cb.now() - sent)


class ChainOfWorkers(Station):
    """The chain: whoever holds one of the eight workers of a from beginning to end is that worker."""

    time_b: cb.Param[float] = 0.0
    time_c: cb.Param[float] = 0.0
    b: cb.Container = cb.Container()
    c: cb.Container = cb.Container()

    @cb.process(copies=8)
    def worker(self):
        while True:
            sent = self.waiting.get()
            cb.hold(random.exponential(self.time))
            self.b.get(1)
            cb.hold(random.exponential(self.time_b))
            self.c.get(1)
            cb.hold(random.exponential(self.time_c))
            self.c.put(1)
            self.b.put(1)
            self.latencies.record(cb.now() - sent)


# ---- a model a request ------------------------------------------------------------------------------


class Tiers(cb.Model):
    """The pools of workers, and the arrivals, in each of the two shapes below."""

    requests: cb.Param[int] = 0
    gap: cb.Param[float] = 0.0
    time: cb.Param[float] = 0.0
    time_b: cb.Param[float] = 0.0
    time_c: cb.Param[float] = 0.0
    a: cb.Container = cb.Container()
    b: cb.Container = cb.Container()
    c: cb.Container = cb.Container()
    latencies: cb.Dataset = cb.Dataset()


class LoneRequest(cb.Model):
    """A request to one station."""

    tiers: cb.Ref[Tiers]

    @cb.process
    def life(self):
        sent = cb.now()
        self.tiers.a.get(1)
        cb.hold(random.exponential(self.tiers.time))
        self.tiers.a.put(1)
        self.tiers.latencies.record(cb.now() - sent)


class ChainedRequest(cb.Model):
    """A request to the chain."""

    tiers: cb.Ref[Tiers]

    @cb.process
    def life(self):
        sent = cb.now()
        self.tiers.a.get(1)
        cb.hold(random.exponential(self.tiers.time))
        self.tiers.b.get(1)
        cb.hold(random.exponential(self.tiers.time_b))
        self.tiers.c.get(1)
        cb.hold(random.exponential(self.tiers.time_c))
        self.tiers.c.put(1)
        self.tiers.b.put(1)
        self.tiers.a.put(1)
        self.tiers.latencies.record(cb.now() - sent)


class Lone(Tiers):
    """One station."""

    @cb.process
    def arrivals(self):
        for _ in range(self.requests):
            cb.hold(random.exponential(self.gap))
            cb.spawn(LoneRequest, tiers=self)


class Chain(Tiers):
    """Three."""

    @cb.process
    def arrivals(self):
        for _ in range(self.requests):
            cb.hold(random.exponential(self.gap))
            cb.spawn(ChainedRequest, tiers=self)


# ---- running ----------------------------------------------------------------------------------------


def filled(model, system: System, requests: int):
    """A model with the numbers of a system."""
    model.requests, model.gap = requests, 1.0 / system.rate
    for name, each in zip(("a", "b", "c"), system.stations, strict=False):
        setattr(model, "time" if name == "a" else f"time_{name}", each.mean)
        if hasattr(model, name):
            setattr(model, name, cb.Container(each.workers))
    model.latencies.capture()
    return model


def ready(make, system: System, requests: int, seed: int) -> Run:
    """A model that is compiled, by a small run of its class."""
    cb.Experiment(filled(make(), system, 100), window=cb.Window.until_idle(), seed=seed).run(workers=1)
    model = filled(make(), system, requests)
    experiment = cb.Experiment(model, window=cb.Window.until_idle(), seed=seed)

    def run():
        results = experiment.run(workers=1)
        assert not results.failed.any(), results.failure_reasons
        return results[model].latencies.trial(0, 0)[1]

    return run


def workers(system: System, requests: int, seed: int) -> Run:
    """A process a worker; how many is fixed with the class."""
    shapes = {(1,): OneWorker, (4,): FourWorkers, (8, 6, 4): ChainOfWorkers}
    return ready(shapes[tuple(each.workers for each in system.stations)], system, requests, seed)


def spawned(system: System, requests: int, seed: int) -> Run:
    """A model a request."""
    return ready(Lone if len(system.stations) == 1 else Chain, system, requests, seed)


if __name__ == "__main__":
    main("cimba", version("cimba"), {"worker": workers, "request": spawned})
