"""One TLS connection between a socket and what speaks on it, which knows nothing of TLS.

```
   socket ──bytes──► Channel: handshake ──done──► ready ──► data_received … of the protocol on top
          ◄──bytes──    │                              ◄── write, close, abort … of an asyncio transport
                        └── refused, broken off ──► failed; the socket is closed
```

To the socket a `Channel` is the protocol, to the HTTP connection on top it is the transport. OpenSSL works on
memory, so nothing here waits: bytes go in, bytes come out. How many records have come whole is counted along,
for asking OpenSSL in vain costs as much as a record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast, final

from meshsim.live.tls.refusal import CLOSED as UNFINISHED
from meshsim.live.tls.refusal import PEER, RefusedError, Tally

if TYPE_CHECKING:
    from meshsim.live.tls.engine import Engine

RECORD_HEADER = 5
"""Bytes before each record."""


@final
class Records:
    """Counts records in a stream of bytes, by their headers alone."""

    def __init__(self) -> None:
        self._left = 0  # of the record that is coming
        self._header = b""  # what has come of its header, if that is not whole

    def feed(self, data: bytes) -> int:
        """How many records end in these bytes."""
        if self._header:
            data = self._header + data
            self._header = b""
        ended, at, size = 0, self._left, len(data)
        if 0 < at <= size:
            ended = 1
        while at + RECORD_HEADER <= size:
            at += RECORD_HEADER + (data[at + 3] << 8 | data[at + 4])
            ended += at <= size
        if at < size:
            self._header = data[at:]
            at = size
        self._left = at - size
        return ended


@final
class Channel:
    """A connection that is secured by an `engine` of `Tls`, and counted in a `tally`.

    When the handshake is over `ready` is called, which returns the protocol on top; it has to be told
    `connection_made` there. Else `failed` is called, once. If the peer refuses us after that, `rejected` says
    when that is heard; until then nothing is. Else `accepted` is called when it shows that it does not.

    Where `later` calls a function a little later, our last word of the handshake waits so long, and goes with
    the first words of the protocol on top, if it has any by then.
    """

    engine: Engine
    socket: asyncio.Transport
    _ready: Callable[[Channel], asyncio.Protocol] | None
    _failed: Callable[[], None] | None
    _later: Callable[[Callable[[], None]], Any] | None
    _top: asyncio.Protocol | None
    _records: Records

    def __init__(
        self, engine: Engine, tally: Tally, ready: Callable[[Channel], asyncio.Protocol],
        failed: Callable[[], None], rejected: Callable[[Callable[[], None]], None] | None = None,
        accepted: Callable[[], None] | None = None, later: Callable[[Callable[[], None]], Any] | None = None,
    ) -> None:  # fmt: skip
        self.engine = engine
        self._tally = tally
        self._ready = ready
        self._failed = failed
        self._rejected = rejected
        self._accepted = accepted
        self._later = later
        self._top = None
        self._records = Records()
        self._unread = 0  # records that are whole, at most
        self._held = False
        self._closing = True  # until there is a socket
        self._ended = False  # nothing more comes from the peer
        self._cut = False  # and it has not said so in TLS: that may be somebody else's doing
        self._over = False  # nobody is told anything any more
        self.rejected = False  # by the peer, after the handshake
        self.reason = ""  # for which the handshake has failed

    @property
    def shaking(self) -> bool:
        """Whether there is a socket, and its handshake is not over."""
        return self._top is None and not self._closing

    # The protocol of the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a socket."""
        self.socket = cast(asyncio.Transport, transport)
        if self._over:
            self.socket.abort()
            return
        self._closing = False
        self._shake()

    def data_received(self, data: bytes) -> None:
        """These have come from it."""
        if self._over or self._ended:
            return
        self.engine.feed(data)
        self._unread += self._records.feed(data)
        shaking = self._top is None
        if shaking and not self._shake():
            return
        self._pump(shaking)

    def eof_received(self) -> bool:
        """Nothing more comes from it; it is to be closed."""
        if self._top is not None:
            self._pump()
        if not self._ended and not self._over:
            self._ended = self._cut = True
            if self._top is None:
                self._fail(RefusedError(UNFINISHED))
            else:
                self._top.eof_received()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed."""
        if self._cut and error is None:
            error = RefusedError(UNFINISHED, "the end of the connection was cut off")
        if not self.rejected:
            self._tell_lost(error)

    def pause_writing(self) -> None:
        """It takes no more for now."""
        if self._top is not None:
            self._top.pause_writing()

    def resume_writing(self) -> None:
        """It takes more again."""
        if self._top is not None:
            self._top.resume_writing()

    # The handshake

    def _shake(self) -> bool:
        """Goes on with it; returns whether it is over."""
        try:
            done = self.engine.shake()
        except RefusedError as error:
            self._fail(error)
            return False
        if not done:
            self._flush()
            return False
        later, self._later = self._later, None
        if later is None:
            self._flush()
        self._tally.handshakes += 1
        ready, self._ready, self._failed = self._ready, None, None  # which may know this
        assert ready is not None, "a handshake ends once"
        self._top = ready(self)
        if later is not None:
            later(self._flush_late)
        return not self._over

    def _flush_late(self) -> None:
        """The end of the handshake goes, unless it has gone, or there is no use any more."""
        if not self._closing:
            self._flush()

    def _fail(self, error: RefusedError) -> None:
        """There will be no connection: the peer gets an alert, if it can still hear it."""
        if self._over:
            return
        self._over = self._closing = True
        self._tally.refused[error.reason] += 1
        self.reason = error.reason
        self._flush()
        self.socket.close()
        self._let_go()

    def _let_go(self) -> None:
        """Tells whoever waits for the handshake that there will be no connection."""
        failed, self._ready, self._failed, self._rejected = self._failed, None, None, None
        if failed is not None:
            failed()

    def give_up(self) -> None:
        """Ends a connection that is not wanted any more; nobody is told but a protocol on top."""
        if self._top is None:
            self._over = True
            self._ready = self._failed = self._rejected = None
        if not self._closing:
            self.abort()

    # Data in

    def _pump(self, shaking: bool = False) -> None:
        """Hands on what has come whole, as far as it is wanted; it may belong to the handshake still."""
        while self._unread > 0 and not self._held and not self._over:
            self._unread -= 1
            try:
                data = self.engine.read()
            except RefusedError as error:
                self._break(error)
                return
            if not data:
                self._unread = 0
                if data is None:
                    self._end()
                    return
                if not shaking:  # it was about the keys
                    self._note_accepted()
                    self._flush()
                return
            if self._accepted is not None:
                self._note_accepted()
            if self._top is not None:
                self._top.data_received(data)

    def _note_accepted(self) -> None:
        """The peer goes on after the handshake: it has looked at our certificate."""
        accepted, self._accepted = self._accepted, None
        if accepted is not None:
            accepted()

    def _end(self) -> None:
        """The peer has said that nothing more comes."""
        self._ended = True
        if self._top is not None and not self._top.eof_received():
            self.close()

    def _break(self, error: RefusedError) -> None:
        """What came is an alert, or no TLS."""
        self._tally.refused[error.reason] += 1
        self._flush()
        self._closing = True
        self.socket.close()
        rejected, self._rejected = self._rejected, None
        if error.reason == PEER and rejected is not None:
            self.rejected = True
            rejected(partial(self._tell_lost, error))
        else:
            self._tell_lost(error)

    def _tell_lost(self, error: Exception | None) -> None:
        """Tells whoever is on top, or waits for the handshake, that there is no connection any more."""
        if self._over:
            return
        self._over = self._closing = True
        top, self._top = self._top, None  # which knows this
        if top is None:
            self._tally.refused[UNFINISHED] += 1
            self.reason = UNFINISHED
            self._let_go()
            return
        self._rejected = None
        top.connection_lost(error)

    # The transport of what is on top

    def write(self, data: Any) -> None:
        """Sends these, secured."""
        if self._closing or not data:
            return
        try:
            self.socket.write(self.engine.seal(data))
        except RefusedError as error:
            self._break(error)

    def _flush(self) -> None:
        """Sends what OpenSSL has to say of its own."""
        data = self.engine.take()
        if data:
            self.socket.write(data)

    def can_write_eof(self) -> bool:
        """TLS can be closed in one direction."""
        return True

    def write_eof(self) -> None:
        """Nothing more is sent; what comes is still read."""
        if not self._closing:
            self._say_end()
            self.socket.write_eof()

    def _say_end(self) -> None:
        """Tells the peer that nothing more comes: an end without that has been cut off."""
        self.engine.end()
        self._flush()

    def close(self) -> None:
        """Ends it when all is sent."""
        if not self._closing:
            self._say_end()
            self._closing = True
            self.socket.close()

    def abort(self) -> None:
        """Ends it at once."""
        self._closing = True
        self.socket.abort()

    def is_closing(self) -> bool:
        """Whether it is ending, or has not begun."""
        return self._closing

    def pause_reading(self) -> None:
        """What comes from now on waits."""
        self._held = True
        self.socket.pause_reading()

    def resume_reading(self) -> None:
        """What has waited comes."""
        self._held = False
        self.socket.resume_reading()
        if self._unread > 0:
            asyncio.get_running_loop().call_soon(self._pump)

    def is_reading(self) -> bool:
        """Whether what comes is handed on."""
        return not self._held

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The socket's limits, bytes."""
        self.socket.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """What the socket has not sent yet, bytes."""
        return self.socket.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the socket."""
        return self.socket.get_extra_info(name, default)
