"""A certificate authority for tests, which signs whatever it is asked to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshsim.live.tls.context import Credentials
from meshsim.scenario.identity import uri_of

SIGNS = (True, *[False] * 8)
CERTIFIES = (*[False] * 5, True, True, False, False)


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Authority:
    """One root."""

    def __init__(self, name: str = "root 0") -> None:
        self.key = key()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = self._sign(
            self.key, self.name, [], True, CERTIFIES, timedelta(hours=-1), timedelta(days=1)
        )

    def _sign(
        self, own: ec.EllipticCurvePrivateKey, subject: x509.Name, uris: Sequence[str], ca: bool, usage: Any,
        begin: timedelta, end: timedelta,
    ) -> x509.Certificate:  # fmt: skip
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begin)
            .not_valid_after(now + end)
            .add_extension(x509.BasicConstraints(ca, None), True)
        )
        if uris:
            names = [x509.UniformResourceIdentifier(uri) for uri in uris]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), True)
        if usage is not None:
            builder = builder.add_extension(x509.KeyUsage(*usage), True)
        return builder.sign(self.key, hashes.SHA256())

    def leaf(
        self, service: str = "cart", *, uris: Sequence[str] | None = None, ca: bool = False,
        usage: Any = SIGNS, begin: float = -60.0, end: float = 3600.0, roots: Sequence[Authority] = (),
    ) -> Credentials:  # fmt: skip
        """Credentials of a service; `begin` and `end` of their time are from now, s."""
        own = key()
        found = [uri_of(service)] if uris is None else uris
        leaf = self._sign(
            own, x509.Name([]), found, ca, usage, timedelta(seconds=begin), timedelta(seconds=end)
        )
        return Credentials(leaf, own, tuple(each.root for each in roots or (self,)))


def pem(credentials: Credentials) -> bytes:
    """Certificate and key, for programs that are not ours."""
    own = credentials.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return credentials.certificate.public_bytes(serialization.Encoding.PEM) + own
