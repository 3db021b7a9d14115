"""Where a chunked body ends, read by the sizes of its chunks.

llhttp does not say where in its input a message ended, so it must be given no more than the message. What a
chunk holds is skipped, whatever it looks like: the work is linear in the bytes.

```
   SIZE ─► EXTENSION ─► SIZE_LF ─► DATA ─► DATA_CR ─► DATA_LF ─► SIZE
                           └─ size 0 ─► TRAILER ─► FIELD ─► FIELD_LF ─► TRAILER
                                           └─► LAST_LF ─► WHOLE
```

Source: RFC 9112, 7.1, read narrowly: no white space around a size or before an extension, no control
characters, no bare CR or LF. What extensions and trailers say is left to llhttp to check.
"""

from __future__ import annotations

import re
from typing import final

from meshsim.live.wire.heads import MalformedError
from meshsim.live.wire.limits import Limits

SIZE = 0
EXTENSION = 1
SIZE_LF = 2
DATA = 3
DATA_CR = 4
DATA_LF = 5
TRAILER = 6
FIELD = 7
FIELD_LF = 8
LAST_LF = 9
WHOLE = 10
BAD = 11
"""Not chunks."""

CR = 0x0D
LF = 0x0A
SEMICOLON = 0x3B
LONGEST_SIZE = 15
"""Digits of a chunk's size."""

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_DIGITS = [int(chr(byte), 16) if chr(byte) in "0123456789abcdefABCDEF" else -1 for byte in range(256)]


@final
class Chunks:
    """Goes through one body after the other, as they come; `state` is WHOLE once the end has been found.

    `limits` bound bytes between data and data, and trailers; `error` says why a body is BAD.
    """

    state: int
    error: MalformedError | None
    left: int
    digits: int
    beside: int
    fields: int
    beside_most: int
    fields_most: int

    def __init__(self, limits: Limits) -> None:
        self.beside_most = limits.head_bytes
        self.fields_most = limits.headers
        self.begin()

    def begin(self) -> None:
        """A body begins."""
        self.state = SIZE
        self.error = None
        self.left = 0  # data of the chunk; while its size is read: what that is so far
        self.digits = 0
        self.beside = 0  # bytes that are no data, since data last came
        self.fields = 0

    def read(self, data: bytes, start: int) -> int:
        """Goes on from `start`; returns where the body ends, or breaks, or else the end of `data`."""
        at = start
        end = len(data)
        while at < end and self.state < WHOLE:
            state = self.state
            if state == DATA:
                step = min(self.left, end - at)
                self.left -= step
                self.beside = 0
                at += step
                if self.left == 0:
                    self.state = DATA_CR
            elif self.beside >= self.beside_most:
                self._refuse(431, "too much beside the data of chunks")
            elif state in (EXTENSION, FIELD):
                at = self._skip(data, at)
            else:
                self.beside += 1
                self._step(state, data[at])
                at += 1
        return at

    def _skip(self, data: bytes, start: int) -> int:
        """The text of an extension or a trailer, up to its CR."""
        stop = min(len(data), start + self.beside_most - self.beside)
        found = data.find(b"\r", start, stop)
        if found >= 0:
            stop = found
        if _CONTROL.search(data, start, stop):
            self._refuse(400, "a control character or a bare LF between chunks")
        elif found >= 0:
            stop += 1
            self.state += 1
        self.beside += stop - start
        return stop

    def _step(self, state: int, byte: int) -> None:
        """One byte of what frames the data."""
        if state == SIZE:
            self._read_size(byte)
        elif state == TRAILER:
            if byte == CR:
                self.state = LAST_LF
                return
            self.state = FIELD
            self.fields += 1
            if self.fields > self.fields_most:
                self._refuse(431, "too many trailers")
        elif byte != (CR if state == DATA_CR else LF):
            self._refuse(400, "a chunk that does not end where it should")
        elif state == SIZE_LF:
            self.state = DATA if self.left else TRAILER
            self.digits = 0
        elif state == DATA_LF:
            self.state = SIZE
        elif state == FIELD_LF:
            self.state = TRAILER
        else:  # DATA_CR, LAST_LF
            self.state += 1

    def _read_size(self, byte: int) -> None:
        digit: int = _DIGITS[byte]
        if digit >= 0 and self.digits < LONGEST_SIZE:
            self.left = self.left * 16 + digit
            self.digits += 1
        elif byte == CR and self.digits:
            self.state = SIZE_LF
        elif byte == SEMICOLON and self.digits:
            self.state = EXTENSION
        else:
            self._refuse(400, "a chunk without a size")

    def _refuse(self, status: int, why: str) -> None:
        self.state = BAD
        self.error = MalformedError(status, why)
