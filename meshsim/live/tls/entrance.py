"""What a listening socket lets in: TLS, plaintext, or both, told apart by a connection's first byte.

| mode | first byte 0x16 (a TLS handshake) | any other |
|---|---|---|
| strict | TLS | closed |
| permissive | TLS | plaintext |
| disable | closed | plaintext |

The mode is asked for anew at each connection. Until a connection is through it *waits*, be it silent, slow or
in a handshake: for `Limits.handshake_timeout`, and among `Limits.handshakes` at most. Where more come, the
one that has been there longest goes: an honest handshake is over in a round trip, one that holds places for
others is not.

Source: Envoy, TLS inspector listener filter; Istio, PeerAuthentication modes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from meshsim.live.control.lines import Lines
from meshsim.live.tls.channel import Channel
from meshsim.live.tls.context import Tls
from meshsim.live.tls.refusal import CROWDED, DISABLED, PLAINTEXT, TIMEOUT, Tally
from meshsim.live.wire.limits import Limits
from meshsim.live.wire.server import ServerConnection

STRICT = "strict"
PERMISSIVE = "permissive"
DISABLE = "disable"

HANDSHAKE = 0x16
"""The first byte of a TLS record that belongs to a handshake; no HTTP method begins with it."""

Serve = Callable[[], ServerConnection | Lines]


class Entrance:
    """The rules of one proxy's inbound listener: its `tls` and what `mode` it has now.

    Where plaintext is refused, `rejected` is called as well. `note`, where it is set, is told of each
    connection that is refused, and why.
    """

    note: Callable[[str, asyncio.Transport | None], None] | None
    waiting: dict[Inspector, None]

    def __init__(
        self, tls: Tls, mode: Callable[[], str], limits: Limits | None = None,
        rejected: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.tls = tls
        self.mode = mode
        self.rejected = rejected
        self.note = None
        self.limits = limits or Limits()
        self.waiting = {}

    @property
    def tally(self) -> Tally:
        """What has come through, and what was refused."""
        return self.tls.server

    def protocol(self, serve: Serve) -> asyncio.Protocol:
        """What a new connection begins with; `serve` makes what it becomes."""
        return Inspector(self, serve)

    def refuses(self, identity: str) -> bool:
        """Whether a request on an open connection is refused, which counts: plaintext, strict by now."""
        if identity or self.mode() != STRICT:
            return False
        self.count(PLAINTEXT)
        return True

    def admit(self, inspector: Inspector) -> None:
        """One more waits."""
        self.waiting[inspector] = None
        if len(self.waiting) > self.limits.handshakes:
            next(iter(self.waiting)).refuse(CROWDED)

    def count(self, reason: str, socket: asyncio.Transport | None = None) -> None:
        """One more is refused."""
        self.tally.refused[reason] += 1
        if self.note is not None:
            self.note(reason, socket)
        if reason == PLAINTEXT and self.rejected is not None:
            self.rejected()

    def close(self) -> None:
        """Ends all that wait; they are not counted."""
        for inspector in list(self.waiting):
            inspector.end()


class Inspector(asyncio.Protocol):
    """A connection that waits: for its first byte, then perhaps for its handshake."""

    transport: asyncio.Transport
    channel: Channel | None
    timer: asyncio.TimerHandle | None

    def __init__(self, entrance: Entrance, serve: Serve) -> None:
        self.entrance = entrance
        self.serve = serve
        self.channel = None
        self.timer = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        limits = self.entrance.limits
        self.timer = asyncio.get_running_loop().call_later(limits.handshake_timeout, self.refuse, TIMEOUT)
        self.entrance.admit(self)

    def data_received(self, data: bytes) -> None:
        mode = self.entrance.mode()
        if data[0] == HANDSHAKE:
            if mode == DISABLE:
                self.refuse(DISABLED)
            else:
                self._secure(data)
        elif mode == STRICT:
            self.refuse(PLAINTEXT)
        else:
            self._through()
            self._become(cast(asyncio.Protocol, self.serve()), self.transport, data)

    def connection_lost(self, error: Exception | None) -> None:
        self._through()

    # Ways out of waiting

    def _through(self) -> None:
        """It waits no longer."""
        self.entrance.waiting.pop(self, None)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def end(self) -> None:
        """Closes it at once."""
        self._through()
        if self.channel is not None:
            self.channel.give_up()
        else:
            self.transport.abort()

    def refuse(self, reason: str) -> None:
        """Closes it, and counts why."""
        self.entrance.count(reason, self.transport)
        self.end()

    # TLS

    def _secure(self, data: bytes) -> None:
        """Begins the handshake."""
        engine = self.entrance.tls.accept()
        if engine is None:
            self.end()
            return
        self.channel = Channel(engine, self.entrance.tally, self._ready, self._failed)
        self._become(cast(asyncio.Protocol, self.channel), self.transport, data)

    def _become(self, protocol: asyncio.Protocol, transport: asyncio.Transport, data: bytes) -> None:
        """Hands the socket on, with what has come."""
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)

    def _ready(self, channel: Channel) -> asyncio.Protocol:
        """The handshake is over."""
        self._through()
        self.channel = None  # which knows this
        connection = self.serve()
        connection.identity = self.entrance.tls.peer(channel.engine)
        connection.connection_made(cast(asyncio.Transport, channel))
        return cast(asyncio.Protocol, connection)

    def _failed(self) -> None:
        """The handshake has ended otherwise."""
        self._through()
        if self.channel is not None and self.entrance.note is not None:
            self.entrance.note(self.channel.reason, self.transport)
        self.channel = None
