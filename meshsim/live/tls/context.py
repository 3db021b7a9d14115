"""Both sides of mutual TLS for one proxy: what it shows, whom it trusts, and what it checks of a peer.

TLS 1.3 alone, with one cipher suite and one group (X25519): what is not there can't be downgraded to. There
is no resumption: whoever comes again is checked again, so an expired certificate or a dropped root counts at
the next connection. The private key is in memory and is never written.

New credentials are new contexts; a connection, open or being opened, keeps that which it began with. So a
rotation disturbs nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from meshsim.live.tls.engine import HTTP, Engine, Sort, depth_of, only_group, shown
from meshsim.live.tls.refusal import UNREADY, WRONG_IDENTITY, RefusedError, Tally, verification
from meshsim.live.tls.trust import Trust

SUITE = b"TLS_AES_128_GCM_SHA256"
GROUP = b"X25519"
ISSUERLESS = (2, 18, 19, 20, 21)
"""OpenSSL's complaints about a certificate whose issuer is not in its store (``X509_V_ERR_...``)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a proxy shows, with its key, and the `roots` it trusts; the key does not appear in its `repr`."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    roots: tuple[x509.Certificate, ...]


class Tls:
    """TLS of one proxy, towards its callers (`server`) and its upstreams (`client`), with their tallies."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.server = Tally()
        self.client = Tally()
        self._trust = Trust(())
        self._accepting: Sort | None = None
        self._connecting: Sort | None = None
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
        check = partial(_check, self._trust)
        accepting = _context(SSL.TLS_SERVER_METHOD, credentials)
        connecting = _context(SSL.TLS_CLIENT_METHOD, credentials)
        connecting.set_alpn_protos([HTTP])
        self._accepting = Sort(accepting, check, servers=True)
        self._connecting = Sort(connecting, check, servers=False)

    def stats(self) -> dict[str, Any]:
        """What both sides have seen so far."""
        return {"server": self.server.message(), "client": self.client.message()}

    def accept(self) -> Engine | None:
        """The engine of a connection that a caller has opened; None, counted, without a certificate."""
        if self._accepting is None:
            self.server.refused[UNREADY] += 1
            return None
        return Engine(self._accepting)

    def connect(self, service: str) -> Engine | None:
        """The engine of a connection to a service; None, counted, without a certificate of our own."""
        if self._connecting is None:
            self.client.refused[UNREADY] += 1
            return None
        return Engine(self._connecting, service)

    def peer(self, engine: Engine) -> str:
        """The service at the other end, whose certificate has been accepted."""
        assert engine.found, "a handshake ends with a certificate that was looked at"
        return engine.found


def blank(method: int) -> SSL.Context:
    """A context of our kind of TLS, without certificates, that trusts nobody and verifies nothing yet."""
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(SUITE)
    only_group(context, GROUP)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 17 kB each, of idle connections
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


def _context(method: int, credentials: Credentials) -> SSL.Context:
    context = blank(method)
    context.use_certificate(credentials.certificate)
    context.use_privatekey(credentials.key)
    return context


def _check(trust: Trust, engine: Engine, error: int, store: Any) -> None:
    """Looks at a certificate of the peer's, when OpenSSL has; a RefusedError ends the handshake.

    Its contexts know no roots, so it finds no issuer, and complains (`ISSUERLESS`): those are our business.
    """
    if error and error not in ISSUERLESS:
        raise RefusedError(
            verification(error), f"OpenSSL's verification error {error} at depth {depth_of(store)}"
        )
    if not engine.found and depth_of(store) == 0:
        found = trust.service_of(shown(store))
        if engine.wanted and found != engine.wanted:
            raise RefusedError(WRONG_IDENTITY, f"{found}, where {engine.wanted} is wanted")
        engine.found = found
