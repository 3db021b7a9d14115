"""Keys, requests and certificates: what is written in them, and what is refused to be signed.

A certificate names one workload by one URI and may be used at both ends of TLS, for nothing else. The request
for it is taken as a proof that somebody has the key, and as nothing more: the name is that of whoever asks,
and what else the request wants is not copied. A request that wants more, or another name, is refused, for
whoever sends it is confused or lies.

NOTE: X.509 knows whole seconds. So times are rounded to the nearest second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from meshsim.live import Message
from meshsim.live.tls.identity import UNREADABLE
from meshsim.scenario.identity import TRUST_DOMAIN, uri_of

Key = ec.EllipticCurvePrivateKey

SKEW = 10.0
"""Certificates are valid from so long before they are signed, s: clocks differ."""
ROOT_YEARS = 10
REQUEST_BYTES = 4096
"""Of a CSR in PEM, at most; one of ours has 400."""

_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
_USAGE = dict.fromkeys(_USAGES, False)
_LEAF_USAGE = x509.KeyUsage(**{**_USAGE, "digital_signature": True})
_ROOT_USAGE = x509.KeyUsage(**{**_USAGE, "key_cert_sign": True, "crl_sign": True})
_BOTH_ENDS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


class RequestError(ValueError):
    """A request that is not signed; `reason` is one of few words, for counting."""

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(f"{reason.replace('_', ' ')}{': ' if text else ''}{text}")
        self.reason = reason


def new_key() -> Key:
    """A private key: ECDSA P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def request(key: Key, name: str) -> x509.CertificateSigningRequest:
    """A CSR of the holder of `key` to be called `name`, a service's or the client's."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri_of(name))])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.add_extension(names, critical=True).sign(key, hashes.SHA256())


def read_request(data: bytes, name: str) -> x509.CertificateSigningRequest:
    """The CSR in PEM that somebody called `name` has sent; a RequestError if it is not to be signed."""
    if len(data) > REQUEST_BYTES:
        raise RequestError("too_large", f"{len(data)} bytes")
    try:
        csr = x509.load_pem_x509_csr(data)
        extensions = list(csr.extensions)
        key = csr.public_key()
        signed = csr.is_signature_valid
    except UNREADABLE as error:
        raise RequestError("malformed", str(error)[:200]) from None
    if not signed:
        raise RequestError("bad_signature")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RequestError("bad_key", "it must be of P-256")
    if any(each.oid != ExtensionOID.SUBJECT_ALTERNATIVE_NAME for each in extensions):
        raise RequestError("extra_extension")
    names = [str(each.value) for value in extensions for each in _names(value.value)]
    if len(names) != 1:
        raise RequestError("extra_name" if names else "no_name", f"{len(names)} names")
    if names[0] != uri_of(name):
        raise RequestError("other_name", f"{names[0][:200]!r}, sent by {name}")
    return csr


def _names(value: x509.ExtensionType) -> list[x509.GeneralName]:
    return list(value) if isinstance(value, x509.SubjectAlternativeName) else []


@dataclass(frozen=True, slots=True)
class Root:
    """One root of the mesh, the `generation`-th from 0, with its private key."""

    generation: int
    certificate: x509.Certificate
    key: Key = field(repr=False)

    @classmethod
    def make(cls, generation: int, now: float) -> Root:
        """A new one, at wall-clock time `now`, s."""
        key = new_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{TRUST_DOMAIN} root {generation}")])
        begins = instant(now - SKEW)
        builder = _builder(name, name, key.public_key(), begins, begins + timedelta(days=365 * ROOT_YEARS))
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_ROOT_USAGE, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(generation, builder.sign(key, hashes.SHA256()), key)

    def kept(self) -> Message:
        """What `of` makes it of again; it has the key."""
        return {
            "generation": self.generation,
            "certificate": pem(self.certificate).decode(),
            "key": key_pem(self.key).decode(),
        }

    @classmethod
    def of(cls, kept: Message) -> Root:
        """The one that was kept."""
        key = load_pem_private_key(kept["key"].encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey), "it was one of ours"
        return cls(kept["generation"], x509.load_pem_x509_certificate(kept["certificate"].encode()), key)

    def sign(
        self, public: ec.EllipticCurvePublicKey, name: str, now: float, until: float
    ) -> x509.Certificate:
        """A certificate for the holder of a key, who is `name`; `now` and `until` are wall-clock times, s."""
        names = [x509.UniformResourceIdentifier(uri_of(name))]
        begins, ends = instant(now - SKEW), instant(until)
        builder = _builder(x509.Name([]), self.certificate.subject, public, begins, max(ends, begins))
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_LEAF_USAGE, critical=True)
            .add_extension(_BOTH_ENDS, critical=False)
            .add_extension(by, critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def instant(time: float) -> datetime:
    """Wall-clock time, s, to the nearest second."""
    return datetime.fromtimestamp(round(time), UTC)


def is_of(certificate: x509.Certificate, key: Key) -> bool:
    """Whether a certificate is for the holder of a key."""
    try:
        return certificate.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False


def pem(*certificates: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """Certificates, or requests, as PEM, one after the other."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def key_pem(key: Key) -> bytes:
    """A private key as PEM (PKCS #8), not encrypted: for files of mode 0600 alone."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
