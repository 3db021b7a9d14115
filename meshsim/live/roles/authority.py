"""The process of the certificate authority: one of a mesh, and the only one that can sign."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any, final

from meshsim.live.child import Role, Spec
from meshsim.live.clock import LiveClock
from meshsim.live.identity.pinned import AuthorityTls
from meshsim.live.identity.server import LIMITS, SigningServer
from meshsim.live.identity.signer import Signer
from meshsim.live.identity.signing import pem
from meshsim.live.identity.tokens import Holder
from meshsim.live.servers import Listening, PodDown
from meshsim.live.tls.entrance import STRICT, Entrance
from meshsim.mesh.clock import Event
from meshsim.mesh.disruption import Disruption
from meshsim.scenario import model
from meshsim.scenario.events import on_clock
from meshsim.scenario.parts import station

LOOPBACK = "127.0.0.1"
"""Where it listens, wherever proxies do: nobody from elsewhere has business with it."""


@final
class RootRotation(Disruption):
    """A new root; those before it are trusted for `overlap` more, s."""

    def __init__(self, clock: LiveClock, signer: Signer, overlap: float) -> None:
        self.clock = clock
        self.signer = signer
        self.overlap = overlap

    def begin(self, now: float) -> None:
        drop = Drop(self.signer, self.signer.rotate(time.time()))
        if self.overlap > 0.0:
            self.clock.at(now + self.overlap, drop, 0)
        else:
            drop.fire(0, now)

    def end(self, now: float) -> None:
        raise AssertionError("a new root stays")


@final
class Drop(Event):
    """The roots before one are dropped."""

    def __init__(self, signer: Signer, generation: int) -> None:
        self.signer = signer
        self.generation = generation

    def fire(self, step: int, now: float) -> None:
        self.signer.drop_before(self.generation)


class Authority(Role):
    """The authority of a scenario with `mesh.mtls`."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        mtls = spec.scenario.mesh.mtls
        assert mtls is not None, "else nobody starts one"
        self.clock = LiveClock(asyncio.get_event_loop(), ideal=True)
        now = time.time()
        self.signer = Signer(mtls.certificate_ttl, now, inclusive=spec.inclusive)
        for digest, (number, name) in spec.tokens.items():
            self.signer.tokens.add(digest, Holder(number, name))
        tls = AuthorityTls(now)
        self.root = pem(tls.root)
        self.server = SigningServer(
            self.clock, self.signer, station(self.clock, mtls.ca.time, mtls.ca.workers), spec.seed
        )
        self.listening = Listening(self.server, entrance=Entrance(tls, lambda: STRICT, LIMITS))
        self.listening.limits = LIMITS

    async def listen(self) -> dict[str, Any]:
        port = await self.listening.open(LOOPBACK)
        return {"host": LOOPBACK, "port": port, "root": self.root.decode()}

    def start(self, base: float) -> None:
        self.clock.begin(base)
        self.signer.wall = time.time() + base - time.monotonic()
        outage = PodDown(self.server.go_down, self.server.come_up)

        def changes(number: int, event: model.Event) -> Iterator[Disruption]:
            if event.component == "ca" and event.down:
                yield outage
            if event.component == "ca" and event.rotate_root:
                yield RootRotation(self.clock, self.signer, event.overlap)

        on_clock(self.clock, self.spec.scenario.events, changes)

    def stats(self) -> dict[str, Any]:
        return {"certificates": {"signed": self.server.signed, "refused": dict(self.server.refusals)}}

    def close(self) -> None:
        self.listening.close()
        self.clock.close()
