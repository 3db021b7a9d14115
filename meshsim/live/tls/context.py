"""Both sides of mutual TLS for one proxy: what it shows, whom it trusts, and what it checks of a peer.

TLS 1.3 alone, with one cipher suite and one group (P-256): what is not there can't be downgraded to. There is
no resumption: whoever comes again is checked again, so an expired certificate or a dropped root counts at
the next connection. The private key is in memory and is never written.

New credentials are new contexts; a connection, open or being opened, keeps that which it began with. So a
rotation disturbs nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from meshsim.live.tls.refusal import PROTOCOL, UNREADY, WRONG_IDENTITY, RefusedError, Tally, verification
from meshsim.live.tls.trust import Trust

HTTP = b"http/1.1"
SUITE = b"TLS_AES_128_GCM_SHA256"
ISSUERLESS = (2, 18, 19, 20, 21)
"""OpenSSL's complaints about a certificate whose issuer is not in its store (``X509_V_ERR_...``)."""

_Verify = Callable[[SSL.Connection, crypto.X509, int, int, int], bool]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a proxy shows, with its key, and the `roots` it trusts; the key does not appear in its `repr`."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    roots: tuple[x509.Certificate, ...]


@dataclass(slots=True)
class Peer:
    """Who is at the other end: the service that is `wanted` there, any if empty, and the one `found`."""

    wanted: str = ""
    found: str = ""


class Tls:
    """TLS of one proxy, towards its callers (`server`) and its upstreams (`client`), with their tallies."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.server = Tally()
        self.client = Tally()
        self._trust = Trust(())
        self._accepting: SSL.Context | None = None
        self._connecting: SSL.Context | None = None
        if credentials is not None:
            self.renew(credentials)

    def renew(self, credentials: Credentials) -> None:
        """Uses these for every handshake that begins from now on.

        Raises:
            ValueError: the key is not the certificate's.
        """
        if credentials.key.public_key() != credentials.certificate.public_key():
            raise ValueError("the key is not the certificate's")
        if self._trust.roots != credentials.roots:
            self._trust = Trust(credentials.roots)
        verify = partial(_verify, self._trust)
        accepting = _context(SSL.TLS_SERVER_METHOD, credentials, verify)
        accepting.set_alpn_select_callback(_select)
        connecting = _context(SSL.TLS_CLIENT_METHOD, credentials, verify)
        connecting.set_alpn_protos([HTTP])
        self._accepting, self._connecting = accepting, connecting

    def stats(self) -> dict[str, Any]:
        """What both sides have seen so far."""
        return {"server": self.server.message(), "client": self.client.message()}

    def accept(self) -> SSL.Connection | None:
        """The engine of a connection that a caller has opened; None, counted, without a certificate."""
        if self._accepting is None:
            self.server.refused[UNREADY] += 1
            return None
        engine = SSL.Connection(self._accepting, None)
        engine.set_app_data(Peer())
        engine.set_accept_state()
        return engine

    def connect(self, service: str) -> SSL.Connection | None:
        """The engine of a connection to a service; None, counted, without a certificate of our own."""
        if self._connecting is None:
            self.client.refused[UNREADY] += 1
            return None
        engine = SSL.Connection(self._connecting, None)
        engine.set_app_data(Peer(service))
        engine.set_connect_state()
        return engine

    def peer(self, engine: SSL.Connection) -> str:
        """The service at the other end, whose certificate has been accepted."""
        found = cast(Peer, engine.get_app_data()).found
        assert found, "a handshake ends with a certificate that was looked at"
        return found


def blank(method: int) -> SSL.Context:
    """A context of our kind of TLS, without certificates, that trusts nobody and verifies nothing yet."""
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(SUITE)
    context.set_tmp_ecdh(ec.SECP256R1())
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 17 kB each, of idle connections
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


def _context(method: int, credentials: Credentials, verify: _Verify) -> SSL.Context:
    context = blank(method)
    context.use_certificate(credentials.certificate)
    context.use_privatekey(credentials.key)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
    return context


def _verify(
    trust: Trust, engine: SSL.Connection, certificate: crypto.X509, error: int, depth: int, valid: int
) -> bool:
    """OpenSSL has looked at a certificate of the peer's; a RefusedError ends the handshake with an alert.

    Its contexts know no roots, so it finds no issuer, and complains (`ISSUERLESS`): those are our business.
    """
    if not valid and error not in ISSUERLESS:
        raise RefusedError(verification(error), f"OpenSSL's verification error {error} at depth {depth}")
    peer = cast(Peer, engine.get_app_data())
    if depth == 0 and not peer.found:
        found = trust.service_of(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))
        if peer.wanted and found != peer.wanted:
            raise RefusedError(WRONG_IDENTITY, f"{found}, where {peer.wanted} is wanted")
        peer.found = found
    return True


def _select(engine: SSL.Connection, offered: Sequence[bytes]) -> bytes:
    """Chooses the protocol to speak, where the caller offers any."""
    if HTTP not in offered:
        raise RefusedError(PROTOCOL)
    return HTTP
