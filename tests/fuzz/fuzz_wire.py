"""Fuzzing of the wire (atheris, coverage-guided): hostile clients and hostile upstreams.

    python tests/fuzz/fuzz_wire.py -max_total_time=120 [folder of a corpus]

Whatever comes, nothing may raise; every request is whole or lost; what is passed on is one message; and how
the bytes are cut changes nothing, but for one limit (`MUCH`). Without a corpus folder the seeds are mutated.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["meshsim.live.wire"]):
    from meshsim.live.wire import CHUNKED, Limits, request_head

sys.path.insert(0, str(Path(__file__).parents[1] / "live" / "wire"))
from ends import Upstream, Waiter, respond, serve

LIMITS = Limits(head_bytes=600, headers=20)

MUCH = "too much beside the data of chunks"
"""Why a body was refused whose junk came in many segments; in one it is bounded already, and let pass."""

SEEDS = [
    b"\x00GET / HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n",
    b"\x05POST http://b/c?d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.0\r\n\r\n",
    b"\x05POST /c HTTP/1.1\r\nHost: k\r\nContent-Length:3\r\n\r\nab\r\n",
    b"\x0aPUT / HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nT: u\r\n\r\n",
    b"\x11POST / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nb",
    b"\x02GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTE: trailers\r\n\r\n",
    b"\x80HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"\x83HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"\xc4HTTP/1.0 304 Not Modified\r\nConnection: keep-alive\r\n\r\n",
    b"\x87HTTP/1.1 200 OK\r\nX: y\r\n\r\nuntil close",
]
"""The first byte says which side is tried and how the rest is cut."""


def segments(raw: bytes, size: int) -> list[bytes]:
    """The bytes in segments of a size, or in one of size 0."""
    return [raw[i : i + size] for i in range(0, len(raw), size)] if size else [raw]


def try_client(raw: bytes, size: int) -> None:
    """Bytes of a client."""
    server, transport = serve(raw, limits=LIMITS)
    transport.end()
    pieces, other = serve(*segments(raw, size), limits=LIMITS)
    other.end()
    if MUCH not in [why for _, why in pieces.refusals]:
        assert pieces.requests() == server.requests()
        assert [status for status, _ in pieces.refusals] == [status for status, _ in server.refusals]
        assert other.sent == transport.sent
    assert server.open == pieces.open == 0
    for served in server.served:
        assert served.whole or served.lost
        if served.whole:
            pass_on(served.head, served.data)


def pass_on(head, data: bytes) -> None:  # type: ignore[no-untyped-def]
    """A request written anew must be read as one, the same, and be the last of its bytes."""
    upstream = Upstream()
    written = request_head(head.method, head.path, head.host or b"a", head.headers, head.length)
    chunks = head.length == CHUNKED
    upstream.connection.request(Waiter(), written, data, True, head.method, chunked=chunks)
    again, transport = serve(upstream.transport.sent)
    transport.end()
    assert again.refusals == []
    assert [(s.head.method, s.head.path, s.head.headers, s.data) for s in again.served] == [
        (head.method, head.path, head.headers, data)
    ]


def try_upstream(raw: bytes, size: int, method: bytes) -> None:
    """Bytes of an upstream."""
    whole, one = respond(raw, method=method, limits=LIMITS, end=True)
    pieces, other = respond(*segments(raw, size), method=method, limits=LIMITS, end=True)
    assert whole.done or whole.kind
    assert pieces.done or pieces.kind
    if pieces.why != MUCH:
        assert whole.done == pieces.done
        assert whole.kind == pieces.kind
        if whole.done:
            assert whole.outcome()[:-1] == pieces.outcome()[:-1]
    assert not one.connection.reusable
    assert not other.connection.reusable


def try_bytes(data: bytes) -> None:
    """One input of the fuzzer."""
    if not data:
        return
    choice = data[0]
    raw = data[1:]
    size = choice & 0x3F
    if choice & 0x80:
        try_upstream(raw, size, b"HEAD" if choice & 0x40 else b"GET")
    else:
        try_client(raw, size)


def main() -> None:
    """Runs until a time, a number of runs or an error: libFuzzer's options."""
    arguments = sys.argv
    if all(argument.startswith("-") for argument in arguments[1:]):
        folder = Path(tempfile.mkdtemp())
        for number, seed in enumerate(SEEDS):
            (folder / str(number)).write_bytes(seed)
        arguments = [*arguments, str(folder)]
    atheris.Setup(arguments, try_bytes)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
