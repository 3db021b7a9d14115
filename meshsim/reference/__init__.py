"""The reference model: the whole mesh as SimPy processes, to read, and to hold the engine against.

It models the same mesh as the engine, written independently of it, from `docs/background/model.md` alone.
Both draw the same keyed numbers, so they must agree request by request. It is slow (a few thousand requests a
second) and short. A tour, from the outside in:

    load      requests come: open, or from users who think
    call      the life of a call, one process: sidecar, faults, rate limit, route, sidecar
    tries     its tries: time-outs, retries, hedges. Plain calls: here the order within an instant counts
    attempt   one try's journey, one process: link, replica, link; and the notice when its caller gives up
    replica   sidecar, queue, workers, script of further calls
    upstream, cluster, balance, budgets             what a caller's proxy knows, and decides by
    connection, handshake                           how long one lasts, and who ends it; how mTLS begins
    certificate, access                             who is known to whom; who may do what
    outlier, accrual                                who is left out, since it failed
    link, station, clock                            latency and loss; waiting; the clock
    events    faults, and what is wanted of the mesh
    control_plane, rollout                          who learns of that, and when; replicas come and go
    run, tables    what all of these share; what is recorded
    world     who is there; from the first arrival to the last answer
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from meshsim.measure.records import Records
from meshsim.reference.world import World
from meshsim.scenario.model import Scenario

__all__ = ["MECHANISMS", "World", "simulate", "simulate_counting"]

MECHANISMS = (
    "retry", "hedge", "per-try timeout", "route timeout", "URX", "UO: no retry", "UO", "UH", "UF", "UC",
    "ejection", "let back", "panic pick", "refused: envoy budget", "refused: linkerd budget",
    "refused: max_retries", "sent: first", "sent: retry", "sent: hedge",
    "rate limited", "fault delay", "fault abort", "failure dropped", "pending", "left pending",
    "abandoned: finish", "abandoned: leave_queue", "abandoned: stop",
    "dropped from queue", "dropped from sidecar", "stopped in service", "resend stopped", "cancelled call",
    "queue full", "own error", "lost when down", "resend", "push", "call not taken", "optional failure",
    "lifo overtakes", "priority overtakes", "idle connection closed", "busy connection closed", "stale pick",
    "connection opened", "connect failed", "connect timeout", "several failed to connect", "opening given up",
    "idle timeout", "max requests", "max age: idle", "max age: busy", "server closed idle",
    "server closed behind an answer", "keep-alive race",
    "handshake", "handshake timed out", "handshake failed by an outage", "handshake finds the replica down",
    "handshake without TLS", "untrusted", "rejected", "plaintext refused", "mode: drained",
    "refused: expired", "refused: unknown root", "refused: old root", "refused: no certificate",
    "renewal", "certificate signed", "certificate refused", "certificate expired", "asked the CA again",
    "waits for the CA", "refused when the CA went down", "signed in vain", "asking ended by an outage",
    "restart waits for a certificate", "root rotated", "roots dropped",
    "denied: rule", "denied: none", "allowed",
    "NC", "refused a configuration", "overtaken", "sent to nobody", "waits for the control plane",
    "kept its place", "gone while it waited", "change put off a push", "debounce at its most",
    "push after an outage", "push lost", "queue lost", "configuration lost", "connected while it was down",
    "host met", "host left", "gone host not charged", "replica started", "replica ready", "replica left",
    "left before it was ready", "replaced before it was ready", "surge", "unavailable",
)  # fmt: skip
"""What :func:`simulate_counting` counts; a name that never acted is missing in its answer."""


def simulate(
    scenario: Scenario, seed: int | None = None, *, progress: Callable[[float], None] | None = None
) -> Records:
    """Simulate a scenario with the reference model.

    Args:
        scenario: what to simulate.
        seed: of all draws; the scenario's where it is None.
        progress: called now and then with the simulation's time, s.

    Returns:
        The records of the run. After a KeyboardInterrupt, those of the run so far, with `complete` False.
    """
    return simulate_counting(scenario, seed, progress=progress)[0]


def simulate_counting(
    scenario: Scenario, seed: int | None = None, *, progress: Callable[[float], None] | None = None
) -> tuple[Records, Counter[str]]:
    """The same, and how often each mechanism acted, by the names in :data:`MECHANISMS`."""
    world = World(scenario, scenario.seed if seed is None else seed)
    complete = interrupted = False
    try:
        complete = world.run(progress)
    except KeyboardInterrupt:
        interrupted = True
    return world.records(complete=complete, interrupted=interrupted), +world.did
