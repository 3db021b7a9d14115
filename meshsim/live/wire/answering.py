"""The answering half of a serving connection: writing answers, closing, back-pressure and time."""

from __future__ import annotations

import asyncio
from typing import Protocol

from meshsim.live.wire.framing import Framing
from meshsim.live.wire.heads import CHUNKED, UNTIL_CLOSE, Headers
from meshsim.live.wire.limits import Limits
from meshsim.live.wire.write import CONTINUE, LAST_CHUNK, chunk, reason, reset, response_head

# Where the connection is in its input; see server.py
HEAD = 0
BODY = 1
WAIT = 2
CLOSING = 3
ENDED = 4
# What it owes: no answer, a whole one, the rest of one
NOTHING = 0
DUE = 1
SENDING = 2

_CLOSE = b"connection: close\r\n"
_KEEP = b"connection: keep-alive\r\n"


class ServerStream(Protocol):
    """One request being served: what its server hears of it. The methods of this base class do nothing.

    Whoever has these methods is one, derived from it or not: what works on a request has a class of the mesh
    above it.
    """

    def body(self, data: bytes) -> None:
        """More of the request's body."""
        return

    def complete(self) -> None:
        """The request's body is whole."""
        return

    def gone(self) -> None:
        """The client went away before its answer was whole; nothing more is reported."""
        return

    def broken(self, status: int, why: str) -> None:
        """The client sent a broken body; nothing more is reported. By default as if it had gone.

        It got an answer with `status`, or one that had begun was cut off instead; `why` is for logs.
        """
        self.gone()

    def stalled(self) -> None:
        """Nothing came and nothing was sent for `Limits.stream_idle_timeout`; and again after as long."""
        return

    def writable(self, yes: bool) -> None:
        """Whether more of the answer should be sent (back-pressure)."""
        return


class Nobody(ServerStream):
    """Hears nothing."""


NOBODY = Nobody()
"""Hears what nobody wants to."""


class Answering(Framing):
    """A connection that owes an answer to at most one request at a time."""

    timer: asyncio.TimerHandle
    state: int
    due: int
    stream: ServerStream
    idle_timeout: float
    stream_idle_timeout: float

    def __init__(self, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limits)
        self.loop = loop
        self.state = HEAD
        self.due = NOTHING
        self.stream = NOBODY
        self.place = 0  # where `rest` begins, in what it holds
        self.busy = False  # input is being read: who finishes an answer meanwhile must not begin to
        self.blocked = False  # the client is slow to take what is written
        self.paused = False  # the socket is not being read
        self.bare = False  # the answer has no body, whatever its head says of one
        self.chunked = False
        self.expects = False
        self.minor = 1
        self.deadline = 0.0
        self.unsent = 0
        self.idle_timeout = limits.idle_timeout
        self.stream_idle_timeout = limits.stream_idle_timeout

    # Answering

    def answer(self, status: int, headers: Headers, body: bytes, length: int | None = None) -> None:
        """Sends a whole answer, status 200-999. Nothing happens if none is due, because the client has gone.

        Headers are end to end, valid as a head read here is, without Content-Length. `length` is what to say
        of a body that is not sent (HEAD, 304), as `ResponseHead.length` says; other answers don't look at it.
        """
        if self.due != DUE:
            return
        keep = self.keep and self.state == WAIT
        self.bare = self.bare or status == 204 or status == 304
        if length is None or not self.bare:
            length = len(body)
        head = self._head(status, headers, length, keep)
        self.transport.write(head if self.bare else head + body)
        self._finish(keep)

    def start(self, status: int, headers: Headers, length: int) -> None:
        """Sends the head of an answer, status 200-999, whose body follows by `send` and `end`.

        Headers are as of `answer`. `length` is in bytes; with CHUNKED or UNTIL_CLOSE the body is sent in
        chunks, or, to a client of HTTP/1.0, until the connection closes.
        """
        if self.due != DUE:
            return
        self.due = SENDING
        self.stir()
        self.bare = self.bare or status == 204 or status == 304
        if length < 0 and not self.bare:
            length = CHUNKED if self.minor else UNTIL_CLOSE
            self.keep = self.keep and self.minor == 1
        self.chunked = length == CHUNKED and not self.bare
        self.transport.write(self._head(status, headers, length, self.keep))

    def send(self, data: bytes) -> None:
        """Sends more of the body of an answer."""
        if self.due == SENDING and data and not self.bare:
            self.stir()
            self.transport.write(chunk(data) if self.chunked else data)

    def end(self) -> None:
        """The body of an answer is whole. One with a length must have come to that length, or be aborted."""
        if self.due == SENDING:
            if self.chunked:
                self.transport.write(LAST_CHUNK)
            self._finish(self.keep and self.state == WAIT)

    def proceed(self) -> None:
        """Sends `100 Continue`, if the client waits for it."""
        if self.expects and self.due == DUE:
            self.expects = False
            self.transport.write(CONTINUE)

    def _head(self, status: int, headers: Headers, length: int, keep: bool) -> bytes:
        """The head of an answer, which says whether the connection is kept."""
        if self.bare and (length < 0 or status == 204):
            length = UNTIL_CLOSE
        connection = _CLOSE if not keep else b"" if self.minor else _KEEP
        return response_head(status, headers, length, connection)

    def _finish(self, keep: bool) -> None:
        """The answer is whole: on to the next request, or to the end."""
        self._let_go()
        self.bare = False
        if not keep:
            self._close()
            return
        self.state = HEAD
        self.deadline = self.loop.time() + self.idle_timeout
        if self.paused:
            self.flow(True)
        if self.rest and not self.busy and not self.blocked:
            self._read(self.rest, self.place)

    def _read(self, data: bytes, at: int) -> None:
        """Goes through the input from there as far as it can be read now, and keeps the rest of it."""
        raise NotImplementedError

    # Ending

    def close(self) -> None:
        """Closes at once if no request is being served, else after its answer, which says so."""
        self.keep = False
        if self.state == HEAD:
            self._close()

    def abort(self) -> None:
        """Resets the connection: the client knows that its answer is not whole. Its stream hears no more."""
        self._let_go()
        if self.state != ENDED:
            self.state = ENDED
            reset(self.transport)

    def hang_up(self) -> None:
        """Closes, and owes no answer any more; the stream hears nothing."""
        self._let_go()
        if self.state < CLOSING:
            self._close()

    def _refuse(self, status: int, why: str) -> None:
        """Answers a malformed head or body, unless an answer is already being sent, and closes."""
        if self.state >= CLOSING:
            return
        heading = self.state == HEAD
        owed = self.due
        stream = self._let_go()
        if owed == SENDING:
            self.abort()
        else:
            body = reason(status)
            head = response_head(status, [(b"content-type", b"text/plain")], len(body), _CLOSE)
            self.transport.write(head if self.bare else head + body)
            self._close()
        if heading:
            self._refused(status, why)
        else:
            stream.broken(status, why)

    def _refused(self, status: int, why: str) -> None:
        """A malformed head has been answered."""
        raise NotImplementedError

    def _let_go(self) -> ServerStream:
        """Owes no answer any more; returns who must hear of it."""
        stream = self.stream
        self.due = NOTHING
        self.stream = NOBODY
        return stream

    def _close(self) -> None:
        """Closes when the other side has read what was sent; a close that drops input could lose it."""
        self.state = CLOSING
        self.rest = b""
        if self.paused:
            self.flow(True)
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.unsent = self.transport.get_write_buffer_size() + 1
            self.transport.write_eof()
            self._set_timer(self.limits.linger)
        else:
            self.transport.close()

    # Time

    def stir(self) -> None:
        """Something of a request or its answer has moved."""
        self.deadline = self.loop.time() + self.stream_idle_timeout

    def _set_timer(self, delay: float) -> None:
        """Has the timer run out then, instead of when it would."""
        self.timer.cancel()
        self.deadline = self.loop.time() + delay
        self.timer = self.loop.call_at(self.deadline, self._expire)

    def _expire(self) -> None:
        """The timer: an idle connection or request, a slow head, or a peer that does not close.

        What happens only moves the deadline; the timer, when it runs out early, follows.
        """
        if self.state == CLOSING:
            self._expire_closing()
            return
        now = self.loop.time()
        if now < self.deadline:
            self._follow(now)
        elif self.state != HEAD:
            self.stir()
            self._follow(now)
            self.stream.stalled()
        elif self.seen:
            self._refuse(408, "a head that did not become whole in time")
        else:
            self.state = ENDED
            if self.blocked:  # the client does not take its answers; a close would wait for it
                self.transport.abort()
            else:
                self.transport.close()

    def _follow(self, now: float) -> None:
        """Has the timer run out at the deadline; before that, if another might come first meanwhile."""
        when = min(self.deadline, now + self.stream_idle_timeout, now + self.idle_timeout)
        self.timer = self.loop.call_at(when, self._expire)

    def _expire_closing(self) -> None:
        """The other side has not closed: goes on waiting only while it takes what was written."""
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < self.unsent:
            self.unsent = unsent
            self._set_timer(self.limits.linger)
        elif unsent:
            self.transport.abort()
        else:
            self.transport.close()

    # Back-pressure

    def flow(self, yes: bool) -> None:
        """Whether more of the request's body is wanted now."""
        self.held = not yes
        self._watch()

    def _watch(self) -> None:
        """Reads from the socket, or not."""
        full = len(self.rest) - self.place > self.head_bytes and (self.state == WAIT or self.blocked)
        stop = self.held or full
        if stop != self.paused and self.state != ENDED:
            self.paused = stop
            if stop:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.blocked = True
        self.stream.writable(False)

    def resume_writing(self) -> None:
        self.blocked = False
        self.stream.writable(True)
        if self.rest and self.state == HEAD and not self.busy:
            self._read(self.rest, self.place)
            self._watch()
