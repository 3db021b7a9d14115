"""Peers that break the rules: each is refused and counted, and a good request passes afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from meshsim.live.tls import refusal
from meshsim.live.tls.context import Credentials
from meshsim.live.wire import Limits
from meshsim.scenario.identity import uri_of
from tests.live.proxy.ends import HOST, settle
from tests.live.proxy.rig import live
from tests.live.tls.mesh import Pair, pair
from tests.live.tls.pki import CERTIFIES, Authority

REQUEST = b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n"


class Raw:
    """A TLS client of a test's own, with OpenSSL's memory in its hands; by default it does all well."""

    def __init__(self, credentials: Credentials | None, setup: Callable[[SSL.Context], None] | None = None):
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if credentials is not None:
            context.use_certificate(credentials.certificate)
            context.use_privatekey(credentials.key)
        context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
        if setup is not None:
            setup(context)
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()

    async def open(self, mesh: Pair) -> None:
        self.reader, self.writer = await asyncio.open_connection(HOST, mesh.port)

    def say(self) -> bytes:
        """What OpenSSL wants to send."""
        with contextlib.suppress(SSL.WantReadError):
            return self.tls.bio_read(1 << 20)
        return b""

    async def until(self, step: Callable[[], Any]) -> Any:
        """Does a step as soon as it can be done; an SSL.Error or ConnectionError if it never can."""
        while True:
            try:
                found = step()
            except SSL.WantReadError:
                self.writer.write(self.say())
                data = await self.reader.read(65536)
                if not data:
                    raise ConnectionError("closed") from None
                self.tls.bio_write(data)
            else:
                self.writer.write(self.say())
                return found

    async def ask(self) -> bytes:
        """One request; the first piece of the answer."""
        await self.until(self.tls.do_handshake)
        self.tls.send(REQUEST)
        return bytes(await self.until(lambda: self.tls.recv(65536)))

    def close(self) -> None:
        self.writer.transport.abort()


async def attempt(mesh: Pair, raw: Raw) -> bytes:
    """What it gets for a request; nothing where it is refused."""
    await raw.open(mesh)
    try:
        return await raw.ask()
    except (SSL.Error, ConnectionError):
        return b""
    finally:
        raw.close()


def bad_leaf(authority: Authority, how: str) -> Credentials:
    """Credentials with one thing wrong."""
    two = [uri_of("client"), uri_of("cart")]
    other = "spiffe://other.domain/ns/default/sa/client"
    return {
        "two URIs": lambda: authority.leaf("client", uris=two),
        "no URI": lambda: authority.leaf("client", uris=[]),
        "a CA as leaf": lambda: authority.leaf("client", ca=True),
        "signs certificates": lambda: authority.leaf("client", usage=CERTIFIES),
        "no key usage": lambda: authority.leaf("client", usage=None),
        "other trust domain": lambda: authority.leaf("client", uris=[other]),
        "a path too long": lambda: authority.leaf("client", uris=[uri_of("client/evil")]),
        "no name": lambda: authority.leaf("client", uris=[uri_of("")]),
        "expired": lambda: authority.leaf("client", begin=-120.0, end=-60.0),
        "other root": lambda: Authority("root 1").leaf("client"),
        "other root of the same name": lambda: Authority().leaf("client"),
        "the root itself": lambda: Credentials(authority.root, authority.key, (authority.root,)),
    }[how]()


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("two URIs", refusal.MALFORMED),
        ("no URI", refusal.MALFORMED),
        ("a CA as leaf", refusal.MALFORMED),
        ("signs certificates", refusal.MALFORMED),
        ("no key usage", refusal.MALFORMED),
        ("other trust domain", refusal.WRONG_IDENTITY),
        ("a path too long", refusal.WRONG_IDENTITY),
        ("no name", refusal.WRONG_IDENTITY),
        ("expired", refusal.EXPIRED),
        ("other root", refusal.UNTRUSTED_ROOT),
        ("other root of the same name", refusal.UNTRUSTED_ROOT),
        ("the root itself", refusal.MALFORMED),
    ],
)
@live
async def test_callers_with_bad_certificates(how: str, why: str) -> None:
    async with pair() as mesh:
        assert await attempt(mesh, Raw(bad_leaf(mesh.authority, how))) == b""
        await mesh.refused(why)
        assert not mesh.app.requests
        await mesh.still_serves()


@pytest.mark.parametrize(
    "how", ["two URIs", "no URI", "a CA as leaf", "no key usage", "expired", "other root", "the root itself"]
)
@live
async def test_upstreams_with_bad_certificates(how: str) -> None:
    async with pair() as mesh:
        mesh.server.renew(bad_leaf(mesh.authority, how))
        assert (await mesh.ask()).status == 503
        assert await mesh.caller.outcome() == (503, "UF", 1, 0)
        assert sum(mesh.client.client.refused.values()) == 1
        assert not mesh.app.requests
        mesh.server.renew(mesh.authority.leaf("cart"))
        await mesh.still_serves()


@live
async def test_somebody_without_a_certificate() -> None:
    async with pair(mode="permissive") as mesh:  # TLS means mutual TLS there too
        assert await attempt(mesh, Raw(None)) == b""
        await mesh.refused(refusal.NO_CERTIFICATE)
        await mesh.still_serves()


@live
async def test_a_certificate_with_anothers_key() -> None:
    """A stolen certificate is worth nothing without its key."""
    async with pair() as mesh:
        mine, theirs = mesh.authority.leaf("thief"), mesh.authority.leaf("client")
        with pytest.raises(ValueError, match="key"):
            mesh.client.renew(Credentials(theirs.certificate, mine.key, theirs.roots))
        await mesh.still_serves()


@live
async def test_older_versions() -> None:
    async with pair() as mesh:
        good = mesh.authority.leaf("client")
        old = Raw(good, lambda context: context.set_max_proto_version(SSL.TLS1_2_VERSION))
        assert await attempt(mesh, old) == b""
        await mesh.refused(refusal.VERSION)
        await mesh.still_serves()


@live
async def test_other_suites_and_groups() -> None:
    """Who has none of ours is refused; who only prefers another is not."""
    async with pair() as mesh:
        good = mesh.authority.leaf("client")
        suites = Raw(good, lambda context: context.set_tls13_ciphersuites(b"TLS_CHACHA20_POLY1305_SHA256"))
        assert await attempt(mesh, suites) == b""
        groups = Raw(good, lambda context: context.set_tmp_ecdh(ec.SECP521R1()))
        assert await attempt(mesh, groups) == b""
        await mesh.refused(refusal.VERSION, 2)
        assert b"200 OK" in await attempt(mesh, Raw(good))
        await mesh.still_serves()


@pytest.mark.parametrize("name", [b"", b"db.example.com", b"\xff\xfe" * 20, b"a" * 250, b"../../etc"])
@live
async def test_nonsense_in_sni(name: bytes) -> None:
    """Nobody looks at it."""
    async with pair() as mesh:
        raw = Raw(mesh.authority.leaf("client"))
        if name:
            raw.tls.set_tlsext_host_name(name)
        assert b"200 OK" in await attempt(mesh, raw)
        assert not mesh.server.server.refused


@live
async def test_protocols_that_are_not_http_1_1() -> None:
    async with pair() as mesh:
        good = mesh.authority.leaf("client")
        assert await attempt(mesh, Raw(good, lambda context: context.set_alpn_protos([b"h2"]))) == b""
        await mesh.refused(refusal.PROTOCOL)
        both = Raw(good, lambda context: context.set_alpn_protos([b"h2", b"http/1.1"]))
        assert b"200 OK" in await attempt(mesh, both)
        await mesh.still_serves()


@live
async def test_a_renegotiation() -> None:
    """TLS 1.3 has none: a new ClientHello on an open connection is against its rules."""
    async with pair() as mesh:
        raw = Raw(mesh.authority.leaf("client"))
        await raw.open(mesh)
        assert b"200 OK" in await raw.ask()
        hello = Raw(None)
        with contextlib.suppress(SSL.WantReadError):
            hello.tls.do_handshake()
        raw.writer.write(hello.say())
        assert await ended(raw.reader)
        raw.close()
        await mesh.refused(refusal.GARBAGE)
        await mesh.still_serves()


@live
async def test_no_session_is_taken_up_again() -> None:
    """Each handshake is a whole one, whatever the client remembers: who is expired by now is refused."""
    async with pair() as mesh:
        good = mesh.authority.leaf("client")
        first = Raw(good)
        await first.open(mesh)
        assert b"200 OK" in await first.ask()
        session = first.tls.get_session()
        first.close()
        assert session is not None
        again = SSL.Connection(first.tls.get_context(), None)
        again.set_connect_state()
        again.set_session(session)
        first.tls = again
        assert b"200 OK" in await attempt(mesh, first)
        assert mesh.server.server.handshakes == 2
        assert again.get_peer_certificate() is not None, "a session that is taken up again shows none"
        mesh.client.renew(bad_leaf(mesh.authority, "expired"))
        assert (await mesh.ask()).status == 503
        await mesh.refused(refusal.EXPIRED)


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the other side closes, after whatever it may say."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass
    return True


def client_hello() -> bytes:
    raw = Raw(None)
    with contextlib.suppress(SSL.WantReadError):
        raw.tls.do_handshake()
    return raw.say()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16" * 100,
        b"\x16\x03\x01\xff\xff" + b"\x01" * 70000,  # a record longer than may be
        b"\x16\x03\x01\x00\x00" * 50,  # empty records
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff" + b"\x16\x03\x01\x40\x00" + b"\0" * 16384,  # a hello of 16 MB
    ],
    ids=["no record", "too long", "empty", "a long hello"],
)
@live
async def test_garbage_that_begins_like_tls(data: bytes) -> None:
    async with pair() as mesh:
        client = await mesh.stranger()
        client.send(data)
        await client.ended()
        await mesh.refused(refusal.GARBAGE)
        await mesh.still_serves()


@live
async def test_garbage_after_the_client_hello() -> None:
    async with pair() as mesh:
        client = await mesh.stranger()
        client.send(client_hello())
        await client.reader.read(100)
        client.send(b"GET / HTTP/1.1\r\n\r\n" * 1000)
        await client.ended()
        await mesh.refused(refusal.GARBAGE)
        await mesh.still_serves()


@live
async def test_garbage_on_an_open_connection() -> None:
    """A record that was changed on the way, in the middle of a request."""
    async with pair() as mesh:
        raw = Raw(mesh.authority.leaf("client"))
        await raw.open(mesh)
        assert b"200 OK" in await raw.ask()
        raw.tls.send(REQUEST)
        data = bytearray(raw.say())
        data[20] ^= 1
        raw.writer.write(data)
        assert await ended(raw.reader)
        raw.close()
        await mesh.refused(refusal.GARBAGE)
        assert len(mesh.app.requests) == 1
        await mesh.still_serves()


@pytest.mark.parametrize("size", [1, 200])
@live
async def test_half_a_hello_and_the_end(size: int) -> None:
    async with pair() as mesh:
        client = await mesh.stranger()
        client.send(client_hello()[:size])
        client.writer.write_eof()
        await client.ended()
        await mesh.refused(refusal.CLOSED)
        await mesh.still_serves()


@live
async def test_slow_handshakes_and_silence() -> None:
    """A byte now and then does not help: there is one time for all of it."""
    async with pair() as mesh:
        usual, mesh.entrance.limits = mesh.entrance.limits, Limits(handshake_timeout=0.3)
        silent, slow = await mesh.stranger(), await mesh.stranger()

        async def drip() -> None:
            for byte in client_hello():
                slow.send(bytes([byte]))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        await asyncio.gather(silent.ended(), slow.ended())
        dripping.cancel()
        await mesh.refused(refusal.TIMEOUT, 2)
        assert not mesh.entrance.waiting
        mesh.entrance.limits = usual
        await mesh.still_serves()


@live
async def test_too_many_that_wait() -> None:
    """The longest there goes; who is quick gets in whatever the crowd."""
    async with pair() as mesh:
        mesh.entrance.limits = Limits(handshakes=20)
        hello = client_hello()
        crowd = []
        for number in range(50):
            crowd.append(await mesh.stranger())
            if number % 2:
                crowd[-1].send(hello)
        await settle(lambda: mesh.server.server.refused[refusal.CROWDED] == 30, "the first have to go")
        assert len(mesh.entrance.waiting) == 20
        await mesh.still_serves()


@live
async def test_an_upstream_that_never_answers_the_handshake() -> None:
    """The time-out of the connection covers its handshake."""
    async with pair(policies={"cart": {"connection": {"connect_timeout": "200ms"}}}) as mesh:
        with socket.create_server((HOST, 0)) as deaf:
            address = deaf.getsockname()[:2]
            mesh.caller.proxy.addresses["cart/0"] = address
            assert (await mesh.ask()).status == 503
        assert await mesh.caller.outcome() == (503, "UF", 1, 0)
        assert dict(mesh.client.client.refused) == {refusal.TIMEOUT: 1}


@live
async def test_an_upstream_that_speaks_no_tls() -> None:
    async with pair(policies={"cart": {"connection": {"connect_timeout": "200ms"}}}) as mesh:
        mesh.caller.proxy.addresses["cart/0"] = (HOST, mesh.app.port)
        assert (await mesh.ask()).status == 503
        assert await mesh.caller.outcome() == (503, "UF", 1, 0)
        assert not mesh.app.requests


@live
async def test_an_answer_that_is_cut_off() -> None:
    """An answer until the close, on a connection that ends without TLS's own end, is not whole."""
    authority = Authority()
    context = ssl_server(authority)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        await writer.drain()
        raw = writer.get_extra_info("socket")
        with socket.fromfd(raw.fileno(), raw.family, raw.type) as same:
            same.shutdown(socket.SHUT_WR)
        writer.transport.abort()

    async with pair(authority=authority) as mesh:
        server = await asyncio.start_server(serve, HOST, 0, ssl=context)
        mesh.caller.proxy.addresses["cart/0"] = (HOST, server.sockets[0].getsockname()[1])
        client = await mesh.caller.client()
        client.send(REQUEST)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await client.reader.readuntil(b"half of it")
        error = await client.ended()
        server.close()
        assert isinstance(error, ConnectionResetError), "the client knows that it is not whole"
        (line,) = await mesh.caller.logged()
        assert line["response_flags"] == "UPE"


def ssl_server(authority: Authority) -> ssl.SSLContext:
    """The standard library's TLS, as cart."""
    import tempfile

    from tests.live.tls.pki import pem

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(pem(authority.leaf("cart")))
        file.flush()
        context.load_cert_chain(file.name)
    return context
