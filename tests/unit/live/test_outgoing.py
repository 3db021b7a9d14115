"""A line to a process that does not read: nobody waits for it."""

from __future__ import annotations

import fcntl
import os

import pytest

from meshsim.live import outgoing
from meshsim.live.outgoing import Outgoing
from tests.live.processes import until


def pipe() -> tuple[int, Outgoing, int]:
    """Where the process reads, the line to it, and how much fits."""
    reading, writing = os.pipe()
    return reading, Outgoing(writing), fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)


def test_what_is_sent_waits_until_it_is_read_and_comes_in_order() -> None:
    reading, line, size = pipe()
    said = [f"{number} {'x' * 1000}\n".encode() for number in range(10 * size // 1000)]
    assert all(line.send(each) for each in said)
    heard = b""
    while len(heard) < sum(map(len, said)):
        heard += os.read(reading, 1000)
    assert heard == b"".join(said)
    assert line.send(b"again")
    assert os.read(reading, 100) == b"again"
    line.close()
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_a_line_that_is_ended_while_something_waits_is_closed() -> None:
    reading, line, size = pipe()
    assert line.send(b"x" * (3 * size))
    line.close()
    assert line.send(b"nobody hears this")
    heard = b""
    while piece := os.read(reading, size):  # its end comes
        heard += piece
    assert heard in (b"x" * size, b"x" * (2 * size), b"x" * (3 * size))
    os.close(reading)


def test_a_reader_that_has_gone_is_no_error_and_holds_nothing() -> None:
    reading, line, size = pipe()
    assert line.send(b"x" * (3 * size))
    os.close(reading)
    assert until(lambda: not line._writes)
    assert line.send(b"y")
    line.close()


def test_it_says_when_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, line, size = pipe()
    monkeypatch.setattr(outgoing, "HELD_BYTES", 10_000)
    assert line.send(b"x" * size)
    assert line.send(b"x" * 10_000)
    assert not line.send(b"x")
    line.close()
    os.close(reading)
