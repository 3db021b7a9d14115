"""The lengths of bodies by our own reading alone: llhttp, which would refuse most too, is not asked."""

from __future__ import annotations

import pytest

from meshsim.live.wire import CHUNKED, UNTIL_CLOSE, Limits
from meshsim.live.wire.framing import Framing
from meshsim.live.wire.heads import MalformedError


def body_length(lengths: list[bytes], codings: list[bytes], minor: int) -> int:
    head = Framing(Limits())
    head.framing = [(b"content-length", value) for value in lengths]
    head.framing += [(b"transfer-encoding", value) for value in codings]
    return head.read_framing(minor)


@pytest.mark.parametrize(
    ("lengths", "codings", "minor", "length"),
    [
        ([], [], 1, UNTIL_CLOSE),
        ([b"0"], [], 1, 0),
        ([b"007"], [], 0, 7),
        ([], [b"chunked"], 1, CHUNKED),
        ([], [b"CHUNKED"], 1, CHUNKED),
    ],
)
def test_lengths(lengths: list[bytes], codings: list[bytes], minor: int, length: int) -> None:
    assert body_length(lengths, codings, minor) == length


@pytest.mark.parametrize(
    ("lengths", "codings", "minor", "status"),
    [
        ([b"1", b"1"], [], 1, 400),
        ([b"1", b"2"], [], 1, 400),
        ([b"1,1"], [], 1, 400),
        ([b""], [], 1, 400),
        ([b" 1"], [], 1, 400),
        ([b"+1"], [], 1, 400),
        ([b"-0"], [], 1, 400),
        ([b"1_0"], [], 1, 400),
        ([b"\xd9\xa1"], [], 1, 400),
        ([b"1\n"], [], 1, 400),
        ([b"1" * 19], [], 1, 400),
        ([b"1"], [b"chunked"], 1, 400),
        ([], [b"chunked"], 0, 400),
        ([], [b"chunked", b"chunked"], 1, 501),
        ([], [b"gzip, chunked"], 1, 501),
        ([], [b"chunked "], 1, 501),
        ([], [b""], 1, 501),
    ],
)
def test_doubtful_lengths(lengths: list[bytes], codings: list[bytes], minor: int, status: int) -> None:
    with pytest.raises(MalformedError) as error:
        body_length(lengths, codings, minor)
    assert error.value.status == status
