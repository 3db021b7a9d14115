"""Real Envoys as the proxies of a mesh: one for each replica and the client.

An Envoy knows nothing of scenarios, so what our own proxies do by themselves is done for it here: `set`
events are written to its files when they reach it, an outage takes its inbound listener down, and its calls
are read from its access log. When it ejected a host it does not say, only how often.
"""

from __future__ import annotations

import heapq
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim import random
from meshsim.live.envoy import CallRow, Envoy, refuse
from meshsim.live.envoy.accesslog import LogReader
from meshsim.live.plan import CLIENT_ID, Place
from meshsim.live.processes import Member, Message
from meshsim.live.proxies import Address, Heard, Listeners, Proxies, url
from meshsim.live.stats import EdgeCounts
from meshsim.policies.outcome import NAMES, add_flag
from meshsim.scenario.events import befalls
from meshsim.scenario.model import Event, Scenario

FLUSH = 0.5
"""Until the last lines are in the access logs, s: twice what Envoys are told, and some."""
INBOUND = "inbound"
GAUGES = "(upstream_rq_active|upstream_rq_pending_active|ejections_active|ejections_enforced_total)$"

Change = Callable[[], None]


class EnvoyProxies(Proxies):
    """One Envoy for each.

    Args:
        scenario: that is run.
        seed: of the run.
        places: every replica.
        host: address to listen on.
        folder: where each gets a folder of its own.
        access_log: where their access logs are copied to in the end; None for nowhere.

    Raises:
        MeshsimError: the scenario asks for what Envoys can't do.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        places: Sequence[Place],
        host: str,
        folder: Path,
        access_log: Path | None,
    ) -> None:
        refuse(scenario)
        self._scenario = scenario
        self._seed = seed
        self._host = host
        self._access_log = access_log
        ids = [CLIENT_ID, *(place.id for place in places)]
        self._envoys = {id_: Envoy(scenario, id_, folder / id_.replace("/", "-"), host) for id_ in ids}
        self._readers: dict[str, LogReader] = {}
        self._calls: dict[str, list[CallRow]] = {id_: [] for id_ in ids}
        self._counts: dict[str, dict[str, EdgeCounts]] = {id_: {} for id_ in ids}
        self._numbers = {place.id: number for number, place in enumerate(places)}
        self._coming: list[tuple[float, int, Change]] = []

    # ---- phases -------------------------------------------------------------------------------------

    def begin(self) -> Sequence[Member]:
        for envoy in self._envoys.values():
            envoy.start()
        return []

    def open(self, apps: Mapping[str, Address], heard: Heard) -> dict[str, Listeners]:
        return {id_: self._listeners(envoy) for id_, envoy in self._envoys.items()}

    def _listeners(self, envoy: Envoy) -> Listeners:
        ports, host = envoy.listen(), self._host
        return Listeners(
            inbound=None if ports.inbound is None else (host, ports.inbound),
            outbound=(host, ports.outbound),
            admin=(host, ports.admin),
            urls={service: url(host, port) for service, port in ports.urls.items()},
        )

    def connect(self, apps: Mapping[str, Address], replicas: Mapping[str, Address]) -> Sequence[Member]:
        for id_, envoy in self._envoys.items():
            envoy.connect(replicas, apps.get(id_))
        for envoy in self._envoys.values():
            envoy.settle()
        return []

    def start(self, base: float) -> None:
        wall_start = time.time() + base - time.monotonic()
        for id_, envoy in self._envoys.items():
            replicas = {address: replica for replica, address in (envoy.addresses or {}).items()}
            self._readers[id_] = LogReader(envoy.folder / "access.log", id_, replicas, wall_start)
        order = count()
        self._coming = [(when, next(order), change) for when, change in self._changes()]
        heapq.heapify(self._coming)

    # ---- events -------------------------------------------------------------------------------------

    def _changes(self) -> Iterator[tuple[float, Change]]:
        for number, event in enumerate(self._scenario.events):
            if event.set:
                after = self._scenario.policies_after(number)
                for instance, envoy in enumerate(self._envoys.values()):
                    yield event.at + self._push_delay(instance, number), partial(envoy.push, after)
            if event.down:
                yield from self._outage(event)

    def _push_delay(self, instance: int, number: int) -> float:
        """How long a push takes to one proxy: the same draw as in a simulation."""
        proxies = random.derive(self._seed, random.PROXIES)
        key = random.derive(random.derive(proxies, instance), number)
        return self._scenario.mesh.push_delay.build().draw(key, random.PUSH)

    def _outage(self, event: Event) -> Iterator[tuple[float, Change]]:
        for id_, envoy in self._envoys.items():
            if id_ != CLIENT_ID and befalls(event, id_):
                yield event.at, envoy.take_down
                if event.lasts is not None:
                    yield event.at + event.lasts, envoy.bring_up

    def tick(self, now: float) -> None:
        while self._coming and self._coming[0][0] <= now:
            heapq.heappop(self._coming)[2]()
        for envoy in self._envoys.values():
            envoy.check()

    # ---- what they count ----------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Message]:
        self._read()
        for id_, envoy in self._envoys.items():
            gauge(self._counts[id_], envoy.proxy.caller, envoy.stats(GAUGES))
        return {
            id_: {"edges": {edge: counts.message() for edge, counts in edges.items()}}
            for id_, edges in self._counts.items()
        }

    def _read(self) -> None:
        """Takes in what has been logged since the last time."""
        for id_, reader in self._readers.items():
            for call in reader.more():
                if call.listener != INBOUND and call.service:
                    self._calls[id_].append(call)
                    counts = self._counts[id_].setdefault(f"{call.caller} -> {call.service}", EdgeCounts())
                    counts.answered(call.status or 499, call.end - call.start)  # 499: the caller has left
                    counts.attempts += call.attempts
                    counts.retries += max(0, call.attempts - 1)

    def rows(self) -> dict[str, Mapping[str, NDArray[Any]]]:
        time.sleep(FLUSH)
        self._read()
        edges = {edge: number for number, edge in enumerate(self._scenario.edges())}
        return {
            id_: call_rows([call for call in calls if call.key], edges, self._numbers)
            for id_, calls in self._calls.items()
        }

    def close(self) -> None:
        for id_, envoy in self._envoys.items():
            envoy.stop()
            log = envoy.folder / "access.log"
            if self._access_log is not None and log.exists():
                shutil.copyfile(log, self._access_log / f"{id_.replace('/', '-')}.jsonl")


def gauge(counts: Mapping[str, EdgeCounts], caller: str, stats: Mapping[str, int]) -> None:
    """Notes what a caller's Envoy says that is under way, and how many hosts it has ejected.

    Args:
        counts: by edge; changed.
        caller: the service whose Envoy it is, or ``client``.
        stats: its counters and gauges by name, ``cluster.<service>/<version>.<what>``.
    """
    for edge, its in counts.items():
        prefix = f"cluster.{edge.removeprefix(f'{caller} -> ')}"
        found = Counter[str]()
        for name, value in stats.items():
            if name.startswith((f"{prefix}.", f"{prefix}/")):
                found[name.rpartition(".")[2]] += value
        its.active = found["upstream_rq_active"]
        its.pending = found["upstream_rq_pending_active"]
        its.ejected = found["ejections_active"]
        its.ejections = found["ejections_enforced_total"]


def call_rows(
    calls: Sequence[CallRow], edges: Mapping[tuple[str, str], int], numbers: Mapping[str, int]
) -> dict[str, NDArray[Any]]:
    """Calls of an access log as `meshsim.live.merge` takes them.

    Args:
        calls: each of an edge of the scenario.
        edges: number of each (caller, service).
        numbers: number of each replica.
    """
    answered = [call.status > 0 and call.replica != "" for call in calls]
    columns: dict[str, tuple[str, list[Any]]] = {
        "key": ("u8", [call.key for call in calls]),
        "edge": ("i8", [edges[call.caller, call.service] for call in calls]),
        "request_start": ("f8", [call.request_start for call in calls]),
        "start": ("f8", [call.start for call in calls]),
        "end": ("f8", [call.end for call in calls]),
        "status": ("i8", [call.status or -1 for call in calls]),  # a caller that has left: cancelled
        "flags": ("i8", [packed(call.flags) for call in calls]),
        "extra": ("?", [call.extra for call in calls]),
        "sent": ("i8", [call.attempts for call in calls]),
        "host": (
            "i8",
            [numbers[call.replica] if known else -1 for call, known in zip(calls, answered, strict=True)],
        ),
    }
    return {f"calls.{name}": np.array(values, dtype=kind) for name, (kind, values) in columns.items()}


def packed(flags: Sequence[str]) -> int:
    """Flags as `policies.outcome` packs them; those that no scenario can raise (DC, SI, …) are left out."""
    found = 0
    for flag in flags:
        if flag in NAMES:
            found = add_flag(found, NAMES.index(flag))
    return found
