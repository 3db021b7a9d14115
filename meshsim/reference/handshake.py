"""How a connection becomes one with mTLS, once TCP has opened it, and what the two ends make of each other.

    --round trips, out--> pass at the upstream's sidecar --back--> pass at the caller's sidecar --> look
                  |
                  +--the upstream does not know TLS--> back, failed: untrusted

The caller looks at the upstream's certificate, and fails the opening. The upstream looks at the caller's
after the caller is done (TLS 1.3), so that one believes the connection to be open until it hears otherwise.
"""

from __future__ import annotations

from typing import Protocol

from meshsim.random import HANDSHAKE, HANDSHAKE_BACK, HANDSHAKE_IN, HANDSHAKE_OUT, Constant, Key
from meshsim.reference.certificate import Agent
from meshsim.reference.clock import Steps
from meshsim.reference.link import Link
from meshsim.reference.run import Run
from meshsim.reference.station import Sidecar
from meshsim.scenario.mesh import Mtls


class End:
    """A proxy, as the others meet it: what it accepts (`mode`; None without mTLS), and its identity."""

    mode: str | None = None

    def __init__(self, sidecar: Sidecar, agent: Agent | None) -> None:
        self.sidecar = sidecar
        self.agent = agent
        self.passing: list[Opening] = []  # whose handshakes it works on, in the order of asking

    def work(self, opening: Opening, mtls: Mtls, purpose: int) -> Steps[None]:
        """The pass of a handshake."""
        time = mtls.handshake.build()
        if not (isinstance(time, Constant) and time.mean == 0.0):
            self.passing.append(opening)
            yield from self.sidecar.shake(time.draw(opening.key, purpose))
            if opening in self.passing:
                self.passing.remove(opening)

    def go_down(self) -> None:
        """Handshakes that it works on have failed."""
        passing, self.passing = self.passing, []
        for opening in passing:
            if not opening.closed:
                opening.fail("handshake failed by an outage")


class Opening(Protocol):
    """A connection that has a handshake (:class:`meshsim.reference.connection.Connection`)."""

    key: Key
    link: Link
    closed: bool

    def up(self) -> bool:
        """Whether the replica is."""

    def fail(self, why: str, *, untrusted: bool = False) -> None:
        """It could not be opened."""

    def become_open(self, *, rejected: bool) -> None:
        """It can be used, as far as the caller knows; `rejected`: the upstream knows better."""


def handshake(run: Run, opening: Opening, mine: End, theirs: End) -> Steps[None]:
    """All the steps. An opening that is closed meanwhile goes no further."""
    mtls, link, clock = run.scenario.mesh.mtls, opening.link, run.clock
    assert mtls is not None, "there is mTLS"
    run.did["handshake"] += 1

    def way(purpose: int) -> Steps[None]:
        time = mtls.round_trips * link.latency(opening.key, purpose)
        if time > 0.0:
            yield clock.timeout(time)

    def goes_on() -> bool:
        if not (opening.closed or opening.up()):
            opening.fail("handshake finds the replica down")
        return not opening.closed

    yield from way(HANDSHAKE_OUT)
    if not goes_on():
        return
    knows_tls = theirs.mode != "disable"
    if knows_tls:
        yield from theirs.work(opening, mtls, HANDSHAKE_IN)
        if not goes_on():
            return
    yield from way(HANDSHAKE_BACK)
    if not goes_on():
        return
    if not knows_tls:
        opening.fail("handshake without TLS", untrusted=True)
        return
    yield from mine.work(opening, mtls, HANDSHAKE)
    if opening.closed:
        return
    assert mine.agent is not None, "both have certificates"
    assert theirs.agent is not None, "both have certificates"
    if not mine.agent.accepts(theirs.agent):
        opening.fail("untrusted", untrusted=True)
        return
    opening.become_open(rejected=not theirs.agent.accepts(mine.agent))
