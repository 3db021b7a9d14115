"""The control plane: what is wanted of the mesh becomes a version, and travels to the proxies.

    a change --debounce--> a push: the next version --queue, workers--> on its way --> a proxy has it

A burst of changes is one push, and who waits for a configuration gets the newest. So one that is
slow sends less, and for longer proxies know different things. While it is down they keep what they have.

Without settings there is nothing to wait for: each change is on its way at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from meshsim.measure.measurements import Push
from meshsim.random import GENERATE, PUSH, PUSH_ROUTES, PUSHES, Constant, Key, derive
from meshsim.reference.caller import ALL, CLUSTERS, ROUTES, Caller, Version
from meshsim.reference.run import Run
from meshsim.units import UNLIMITED


@dataclass(eq=False, slots=True)
class Reader:
    """A proxy, as the control plane knows it."""

    caller: Caller
    key: Key
    made: int = 0  # configurations
    misses: list[Push] = field(default_factory=list)  # those that it is to get


class ControlPlane:
    """What is wanted, and who has been told."""

    def __init__(self, run: Run, callers: Sequence[Caller], endpoints: Mapping[str, Sequence[int]]) -> None:
        self.run = run
        self.clock = run.clock
        self.did = run.did
        self.settings = settings = run.scenario.mesh.control_plane
        self.delay = run.scenario.mesh.push_delay.build()
        self.time = Constant(0.0) if settings is None else settings.time.build()
        self.workers = UNLIMITED if settings is None else settings.workers
        self.ordered = settings is None or settings.ordered
        self.readers = [Reader(caller, derive(caller.key, PUSHES)) for caller in callers]
        self.scenario = run.scenario  # the policies, rules and modes that are wanted
        self.endpoints = {service: set(numbers) for service, numbers in endpoints.items()}
        self.refused: list[tuple[set[str], tuple[str, ...]]] = []  # the keys of an event, who refuses them
        self.newest = Version(0, run.scenario, self._there(), frozenset())
        self.outages: set[int] = set()
        self.first: float | None = None  # of the changes since the last push, s
        self.due: object | None = None  # the push that is
        self.queue: deque[Reader] = deque()
        self.shift: object = object()  # whoever works in another is not at work any more
        self.busy = 0

    def set(self, number: int) -> None:
        """An event of the file changes policies, rules or modes."""
        event = self.run.scenario.events[number]
        self.scenario = self.run.scenario.policies_after(number)
        for keys, _ in self.refused:
            for anew in event.set:
                keys -= {key for key in keys if key == anew or key.startswith((f"{anew}.", f"{anew}["))}
        self.refused.append((set(event.set), event.nack))
        self._change()

    def add(self, service: str, replica: int) -> None:
        """A replica is an endpoint from now on."""
        self.endpoints[service].add(replica)
        self._change()

    def remove(self, service: str, replica: int) -> None:
        """A replica is an endpoint no more."""
        self.endpoints[service].remove(replica)
        self._change()

    def connect(self, caller: Caller) -> None:
        """A proxy is here, and wants its configuration."""
        caller.connected = True
        self.did["connected while it was down"] += bool(self.outages)
        if not self.outages:
            self._enqueue(self.readers[caller.proxy.number])

    def disconnect(self, caller: Caller) -> None:
        """A proxy is no more."""
        caller.connected = False
        for push in self.readers[caller.proxy.number].misses:
            push.proxies -= 1

    def go_down(self, event: int) -> None:
        """Nothing is made or sent any more; what is on its way arrives."""
        self.did["queue lost"] += bool(self.queue)
        self.did["configuration lost"] += self.busy
        self.did["push lost"] += self.due is not None
        self.outages.add(event)
        self.due = None
        self.queue.clear()
        self.shift, self.busy = object(), 0

    def come_up(self, event: int) -> None:
        """An outage ends. After the last, everybody is sent what is wanted."""
        self.outages.discard(event)
        if not self.outages:
            self.did["push after an outage"] += 1
            self._push()

    def _there(self) -> dict[str, tuple[int, ...]]:
        return {service: tuple(sorted(numbers)) for service, numbers in self.endpoints.items()}

    def _change(self) -> None:
        """Something else is wanted: all are to know, once no more changes come for a while."""
        now = self.clock.now
        if self.first is None:
            self.first = now
        if self.outages:
            return
        if self.settings is None:
            self._push()
            return
        self.did["change put off a push"] += self.due is not None
        quiet, latest = now + self.settings.debounce, self.first + self.settings.debounce_max
        self.did["debounce at its most"] += latest < quiet
        due = self.due = object()
        self.clock.at(min(quiet, latest)).callbacks.append(
            lambda _: self._push() if due is self.due else None
        )

    def _push(self) -> None:
        """Make the next version of what is wanted, and send it to all who are connected."""
        now, connected = self.clock.now, [reader for reader in self.readers if reader.caller.connected]
        refusing = frozenset(service for keys, services in self.refused if keys for service in services)
        self.newest = Version(self.newest.number + 1, self.scenario, self._there(), refusing)
        changed = now if self.first is None else self.first
        push = Push(self.newest.number, changed, now, proxies=len(connected))
        self.run.pushes.append(push)
        self.first = self.due = None
        for reader in connected:
            reader.misses.append(push)
        for reader in connected:
            self._enqueue(reader)

    def _enqueue(self, reader: Reader) -> None:
        if isinstance(self.time, Constant) and self.time.mean == 0.0 and self.workers >= UNLIMITED:
            self._send(reader, self.newest, self._next_key(reader))
        elif reader in self.queue:
            self.did["kept its place"] += 1
        else:
            self.queue.append(reader)
            self._work()

    def _next_key(self, reader: Reader) -> Key:
        reader.made += 1
        return derive(reader.key, reader.made - 1)

    def _work(self) -> None:
        """Have free workers make configurations for those who wait."""
        while self.queue and self.busy < self.workers:
            reader, version, shift = self.queue.popleft(), self.newest, self.shift
            if not reader.caller.connected:
                self.did["gone while it waited"] += 1
                continue
            self.busy += 1
            key = self._next_key(reader)

            def end(
                reader: Reader = reader, version: Version = version, shift: object = shift, key: Key = key
            ) -> None:
                if shift is self.shift:
                    self.busy -= 1
                    self._send(reader, version, key)
                    self._work()

            self.clock.after(self.time.draw(key, GENERATE), end)
        self.did["waits for the control plane"] += bool(self.queue)

    def _send(self, reader: Reader, version: Version, key: Key) -> None:
        """Send a proxy its configuration: as one, or clusters and routes apart."""
        parts = ((PUSH, ALL),) if self.ordered else ((PUSH, (CLUSTERS,)), (PUSH_ROUTES, (ROUTES,)))
        for purpose, contents in parts:
            wait = self.delay.draw(key, purpose)
            if wait == 0.0:
                self._arrive(reader, version, contents)
            else:
                self.clock.after(wait, partial(self._arrive, reader, version, contents))

    def _arrive(self, reader: Reader, version: Version, parts: Sequence[str]) -> None:
        caller = reader.caller
        if not caller.receive(version, parts):
            return
        while reader.misses and reader.misses[0].version <= caller.newest:
            push = reader.misses.pop(0)
            push.arrivals.append(self.clock.now)
            push.nacked += caller.refuses
        if caller.configured is not None and caller.newest >= 0:
            act, caller.configured = caller.configured, None
            act()
