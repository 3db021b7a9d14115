"""The certificate authority as a part of the control plane: what it signs with, where, and its events."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import final

from meshsim.live import Message
from meshsim.live.clock import LiveClock
from meshsim.live.control.journal import Journal
from meshsim.live.identity.pinned import AuthorityTls
from meshsim.live.identity.server import LIMITS, SigningServer
from meshsim.live.identity.signer import Signer
from meshsim.live.identity.signing import Root
from meshsim.live.identity.tokens import Holder
from meshsim.live.servers import Listening, PodDown
from meshsim.live.tls.entrance import STRICT, Entrance
from meshsim.mesh.disruption import Disruption
from meshsim.scenario import model
from meshsim.scenario.events import root_generations
from meshsim.scenario.parts import station


@final
class RootRotation(Disruption):
    """The next root; those before it are trusted for the event's `overlap` more."""

    def __init__(self, signer: Signer, generation: int, overlap: float) -> None:
        self.signer = signer
        self.generation = generation
        self.overlap = overlap

    def begin(self, now: float) -> None:
        self.signer.rotate(self.generation)
        if self.overlap == 0.0:
            self.end(now)

    def end(self, now: float) -> None:
        self.signer.drop_before(self.generation)


class CertificateAuthority:
    """The authority of a scenario with `mesh.mtls`, which goes on from what is in the journal.

    NOTE: roots to come are made at the start, so that none has to be written down when the disk is full.

    Attributes:
        tls: under which the control plane is reached; its root is for those who ask.
        tokens: by hash, whose the first token of each holder is: number and name.
    """

    def __init__(
        self, scenario: model.Scenario, clock: LiveClock, journal: Journal,
        tokens: Mapping[str, Iterable[int | str]], seed: int, inclusive: bool,
    ) -> None:  # fmt: skip
        mtls = scenario.mesh.mtls
        assert mtls is not None, "else nobody has an identity"
        self.clock = clock
        self._events = scenario.events
        self._generations = root_generations(scenario.events)
        now = time.time()
        self.signer = Signer(
            mtls.certificate_ttl, now, inclusive=inclusive, keep=journal.insist,
            roots=[Root.of(fact) for fact in journal.found("root")], rotations=len(self._generations),
        )  # fmt: skip
        self.admit(tokens)
        self.signer.resume(journal.found("used"))
        own = journal.found("tls")
        self.tls = AuthorityTls(now, Root.of(own[0]) if own else None)
        if not own:
            journal.insist({"tls": self.tls.own.kept()})
        self.server = SigningServer(clock, self.signer, station(clock, mtls.ca.time, mtls.ca.workers), seed)
        self.listening = Listening(self.server, entrance=Entrance(self.tls, lambda: STRICT, LIMITS))
        self.listening.limits = LIMITS
        self._outage = PodDown(self.server.go_down, self.server.come_up)

    def admit(self, tokens: Mapping[str, Iterable[int | str]]) -> None:
        """Takes note of first tokens."""
        for digest, (number, name) in tokens.items():
            self.signer.tokens.add(digest, Holder(int(number), str(name)))

    def begin(self) -> None:
        """Scenario time is known, and so which root signs by now."""
        self.signer.wall = time.time() + self.clock.base - time.monotonic()
        for number, generation in self._generations.items():
            if self._events[number].at <= self.clock.now():
                self.signer.rotate(generation)

    def changes(self, number: int, event: model.Event) -> Iterator[Disruption]:
        """What an event does to it; without the control plane there is no authority either."""
        if event.component is not None and event.down:
            yield self._outage
        if event.rotate_root:
            yield RootRotation(self.signer, self._generations[number], event.overlap)

    def stats(self) -> Message:
        """What it has signed, and refused."""
        return {"signed": self.server.signed, "refused": dict(self.server.refusals)}

    def close(self) -> None:
        """Signs nothing any more."""
        self.listening.close()
