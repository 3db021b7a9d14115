"""A stream of JSON objects, one a line, over any transport: plain sockets or TLS.

Whoever is at the other end may be broken: a line that is too long, that stops in the middle, or that is no
JSON object ends the stream, with the reason.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from meshsim.live import Message

LINE_BYTES = 8 << 20
"""Of one message, at most: a configuration with 50,000 endpoints has less."""
PARTIAL_LIMIT = 10.0
"""How long the rest of a line may take, s; so may the first line, of who has to say who he is."""


class Listener:
    """Who hears what comes on a stream."""

    def connected(self, stream: Lines) -> None:
        """There is a connection."""

    def heard(self, stream: Lines, message: Message) -> None:
        """A message has come."""

    def lost(self, stream: Lines, why: str) -> None:
        """There is no connection any more; `why` we have ended it, empty if it was the other side."""


class Lines(asyncio.Protocol):
    """One end of a stream; `identity` is whom a certificate at the other end names, nobody without.

    With `greeted`, the other side has to begin.
    """

    def __init__(self, listener: Listener, line_bytes: int = LINE_BYTES, *, greeted: bool = False) -> None:
        self.listener = listener
        self.line_bytes = line_bytes
        self.greeted = greeted
        self.identity = ""
        self.transport: asyncio.Transport | None = None
        self._partial = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._why = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._wait(PARTIAL_LIMIT if self.greeted else None)
        self.listener.connected(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._wait(None)
        self._partial.clear()
        self.listener.lost(self, self._why)

    def data_received(self, data: bytes) -> None:
        if self._why:
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = bytes(self._partial) + line
            self._partial.clear()
            if len(whole) > self.line_bytes:
                self.give_up("a message is too large")
            else:
                self._read(whole)
            if self._why or self.transport is None:
                return
        self._partial += rest
        if len(self._partial) > self.line_bytes:
            self.give_up("a message is too large")
        elif lines or self._timer is None:
            self._wait(PARTIAL_LIMIT if self._partial else None)

    def _read(self, line: bytes) -> None:
        try:
            message: Any = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict):
            self.listener.heard(self, message)
        else:
            self.give_up("a message is no JSON object")

    def _wait(self, seconds: float | None) -> None:
        """Waits so long for the rest of a line; None: there is none to wait for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self.give_up("a message stopped in the middle" if self._partial else "nothing was said")

    def send(self, message: Message) -> bool:
        """Sends a message; whether there is anybody to send it to, who reads."""
        if self.transport is None or self._why:
            return False
        if self.transport.get_write_buffer_size() > LINE_BYTES:
            self.give_up("what was sent is not read")
            return False
        self.transport.write(json.dumps(message, allow_nan=False).encode() + b"\n")
        return True

    def give_up(self, why: str) -> None:
        """Ends the stream; nothing more is heard but that."""
        if not self._why:
            self._why = why
            if self.transport is not None:
                self.transport.abort()

    def close(self) -> None:
        """Ends the stream when what was sent is out."""
        if self.transport is not None:
            self.transport.close()
