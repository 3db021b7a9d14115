"""What passes a channel is what was written, however the bytes are cut, and whatever is done to them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from meshsim.live.tls.channel import Channel, Records
from meshsim.live.tls.context import Tls
from meshsim.live.tls.identity import service_of
from meshsim.live.tls.refusal import CLOSED, GARBAGE, PEER, RefusedError
from tests.live.tls.pki import Authority

AUTHORITY = Authority()
CART = Tls(AUTHORITY.leaf("cart"))
CLIENT = Tls(AUTHORITY.leaf("client"))

CUTS = st.lists(st.integers(1, 5000), max_size=12)


class Socket(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closing = self.half_closed = self.paused = False

    def write(self, data: Any) -> None:
        assert not self.half_closed
        if not self.closing:
            self.sent += data

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True
        self.sent.clear()

    def write_eof(self) -> None:
        self.half_closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Top(asyncio.Protocol):
    """What speaks on a channel: keeps what it gets."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.ends = 0
        self.lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        assert data
        assert not self.lost
        self.got += data

    def eof_received(self) -> bool:
        self.ends += 1
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.append(error)


class End:
    """One end of a connection that has no network."""

    def __init__(self, engine: SSL.Connection | None, tls: Tls) -> None:
        assert engine is not None
        self.top = Top()
        self.socket = Socket()
        self.failures = 0
        tally = tls.server if tls is CART else tls.client
        self.channel = Channel(engine, tally, lambda channel: self.top, self.fail)
        self.channel.connection_made(self.socket)

    def fail(self) -> None:
        self.failures += 1

    def take(self) -> bytes:
        data = bytes(self.socket.sent)
        self.socket.sent.clear()
        return data


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The data, cut after so many bytes each."""
    for size in cuts:
        if data:
            yield data[:size]
            data = data[size:]
    if data:
        yield data


def move(sender: End, receiver: End, cuts: list[int]) -> bool:
    """Moves what is under way; whether there was anything."""
    data = sender.take()
    for piece in pieces(data, cuts):
        receiver.channel.data_received(piece)
    return bool(data)


def connected(cuts: list[int] | None = None) -> tuple[End, End]:
    """Client and server after their handshake."""
    client, server = End(CLIENT.connect("cart"), CLIENT), End(CART.accept(), CART)
    while move(client, server, cuts or []) | move(server, client, cuts or []):
        pass
    assert not client.failures
    assert not server.failures
    return client, server


fuzzed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(cuts=CUTS, writes=st.lists(st.tuples(st.booleans(), st.integers(1, 40000)), max_size=8))
@fuzzed
def test_what_is_written_comes_however_it_is_cut(cuts: list[int], writes: list[tuple[bool, int]]) -> None:
    client, server = connected(cuts)
    said = {True: b"", False: b""}
    for number, (forth, size) in enumerate(writes):
        data = bytes([number]) * size
        (client if forth else server).channel.write(data)
        said[forth] += data
        if number % 2:
            move(client, server, cuts)
            move(server, client, cuts)
    client.channel.close()
    move(client, server, cuts)
    move(server, client, cuts)
    assert bytes(server.top.got) == said[True]
    assert bytes(client.top.got) == said[False]
    assert server.top.ends == 1, "the end comes after all of it"


@given(data=st.binary(max_size=3000), cuts=CUTS)
@fuzzed
def test_records_are_counted_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    at = whole = 0
    while at + 5 <= len(data) and at + 5 + int.from_bytes(data[at + 3 : at + 5]) <= len(data):
        at += 5 + int.from_bytes(data[at + 3 : at + 5])
        whole += 1
    counted = Records()
    assert sum(counted.feed(piece) for piece in pieces(data, cuts)) == whole


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cuts=CUTS)
@fuzzed
def test_a_bit_that_flips_is_noticed(place: float, bit: int, cuts: list[int]) -> None:
    """Nothing of the record gets through, and both ends know that the connection is over, or still wait."""
    client, server = connected()
    client.channel.write(b"a" * 300)
    data = bytearray(client.take())
    data[int(place * len(data))] ^= 1 << bit
    for piece in pieces(bytes(data), cuts):
        server.channel.data_received(piece)
    assert not server.top.got
    if server.top.lost:
        (error,) = server.top.lost
        assert isinstance(error, RefusedError)
        assert error.reason == GARBAGE
        move(server, client, [])
        (heard,) = client.top.lost
        assert isinstance(heard, RefusedError)
        assert heard.reason == PEER


@given(data=st.binary(min_size=1, max_size=2000), cuts=CUTS)
@fuzzed
def test_bytes_that_are_no_tls(data: bytes, cuts: list[int]) -> None:
    """They end the handshake, or it waits for more; never is there a connection."""
    server = End(CART.accept(), CART)
    for piece in pieces(b"\x16" + data, cuts):
        server.channel.data_received(piece)
    server.channel.eof_received()
    server.channel.connection_lost(None)
    assert server.failures == 1
    assert not server.top.got
    assert not server.top.lost


def test_reading_that_is_held_back() -> None:
    """What has come meanwhile waits in the channel, and comes in order."""

    async def go() -> None:
        client, server = connected()
        server.channel.pause_reading()
        for number in range(5):
            client.channel.write(b"%d" % number)
        move(client, server, [])
        assert not server.top.got
        assert server.socket.paused
        server.channel.resume_reading()
        await asyncio.sleep(0)
        assert bytes(server.top.got) == b"01234"
        assert not server.socket.paused

    asyncio.run(go())


def test_half_closing() -> None:
    """Who has said that nothing more comes still hears."""
    client, server = connected()
    server.channel.write(b"last")
    server.channel.write_eof()
    move(server, client, [])
    assert (bytes(client.top.got), client.top.ends) == (b"last", 1)
    client.channel.write(b"late")
    move(client, server, [])
    assert bytes(server.top.got) == b"late"


def test_an_end_that_nobody_has_announced() -> None:
    """It may be an attacker's: whoever waits for more learns that it was cut off."""
    client, server = connected()
    server.channel.write(b"half")
    move(server, client, [])
    assert client.channel.eof_received() is False
    client.channel.connection_lost(None)
    (error,) = client.top.lost
    assert isinstance(error, RefusedError)
    assert error.reason == CLOSED


@given(records=st.integers(1, 4))
@fuzzed
def test_a_handshake_that_breaks_off_is_none(records: int) -> None:
    """However much of it has come: the peer has accepted nobody, and that counts once."""
    caller = Tls(AUTHORITY.leaf("client"))
    accepted: list[int] = []
    client, server = End(caller.connect("cart"), caller), End(CART.accept(), CART)
    client.channel._accepted = lambda: accepted.append(1)
    move(client, server, [])
    data, at = server.take(), 0
    for _ in range(records):
        at += 5 + int.from_bytes(data[at + 3 : at + 5])
    client.channel.data_received(data[: min(at, len(data) - 1)])
    client.channel.eof_received()
    client.channel.connection_lost(None)
    assert client.failures == 1
    assert not accepted
    assert dict(caller.client.refused) == {CLOSED: 1}


def test_what_is_given_up_reports_nothing() -> None:
    client = End(CLIENT.connect("cart"), CLIENT)
    client.channel.give_up()
    client.channel.connection_lost(None)
    assert not client.failures
    assert client.socket.closing


def test_nobody_sees_the_key() -> None:
    credentials = AUTHORITY.leaf("cart")
    assert "key" not in repr(credentials)


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x82" * 100])
def test_what_is_no_certificate(der: bytes) -> None:
    with pytest.raises(RefusedError):
        service_of(der)
