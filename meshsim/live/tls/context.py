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
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from meshsim.live.tls.identity import service_of
from meshsim.live.tls.refusal import PROTOCOL, UNREADY, WRONG_IDENTITY, RefusedError, Tally, verification

HTTP = b"http/1.1"
SUITE = b"TLS_AES_128_GCM_SHA256"
DEPTH = 4
"""Of a chain, at most."""

_Verify = Callable[[SSL.Connection, crypto.X509, int, int, int], bool]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a proxy shows, with its key, and the `roots` it trusts; `chain` is between leaf and root.

    The key does not appear in its `repr`.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    roots: tuple[x509.Certificate, ...]
    chain: tuple[x509.Certificate, ...] = ()


class Tls:
    """TLS of one proxy, towards its callers (`server`) and its upstreams (`client`), with their tallies."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.server = Tally()
        self.client = Tally()
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
        accepting = _context(SSL.TLS_SERVER_METHOD, credentials, _caller)
        accepting.set_alpn_select_callback(_select)
        connecting = _context(SSL.TLS_CLIENT_METHOD, credentials, _upstream)
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
        engine.set_accept_state()
        return engine

    def connect(self, service: str) -> SSL.Connection | None:
        """The engine of a connection to a service; None, counted, without a certificate of our own."""
        if self._connecting is None:
            self.client.refused[UNREADY] += 1
            return None
        engine = SSL.Connection(self._connecting, None)
        engine.set_app_data(service)
        engine.set_connect_state()
        return engine

    def peer(self, engine: SSL.Connection) -> str:
        """The service at the other end, whose certificate has been accepted."""
        certificate = engine.get_peer_certificate()
        assert certificate is not None, "a handshake ends with one"
        return service_of(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))


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
    for certificate in credentials.chain:
        context.add_extra_chain_cert(certificate)
    store = context.get_cert_store()
    assert store is not None, "a context has one"
    for root in credentials.roots:
        store.add_cert(crypto.X509.from_cryptography(root))
    context.set_verify_depth(DEPTH)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
    return context


def _caller(engine: SSL.Connection, certificate: crypto.X509, error: int, depth: int, valid: int) -> bool:
    """OpenSSL asks for each certificate of a caller's chain, the root first."""
    _accepted(certificate, error, depth, valid)
    return True


def _upstream(engine: SSL.Connection, certificate: crypto.X509, error: int, depth: int, valid: int) -> bool:
    """OpenSSL asks for each certificate of an upstream's chain, the root first."""
    name = _accepted(certificate, error, depth, valid)
    wanted = cast(str, engine.get_app_data())
    if depth == 0 and name != wanted:
        raise RefusedError(WRONG_IDENTITY, f"{name}, where {wanted} is wanted")
    return True


def _accepted(certificate: crypto.X509, error: int, depth: int, valid: int) -> str:
    """Whose certificate it is, of a leaf; a RefusedError, which ends the handshake with an alert."""
    if not valid:
        raise RefusedError(verification(error), f"OpenSSL's verification error {error} at depth {depth}")
    return service_of(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)) if depth == 0 else ""


def _select(engine: SSL.Connection, offered: Sequence[bytes]) -> bytes:
    """Chooses the protocol to speak, where the caller offers any."""
    if HTTP not in offered:
        raise RefusedError(PROTOCOL)
    return HTTP
