"""Who a certificate says its holder is: an X.509-SVID names exactly one workload, by one URI.

Everything else is refused, not interpreted: two URIs are two identities, one of which somebody might check
and the other be used; a CA that is shown as a leaf could have signed itself any name.

Source: SPIFFE, X.509-SVID, sections 2 (one URI SAN), 4.1 and 5.2 (leaves); SPIFFE-ID, section 2.
"""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from meshsim.live.tls.refusal import MALFORMED, WRONG_IDENTITY, RefusedError
from meshsim.scenario.identity import PREFIX

UNREADABLE = (
    ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension,
    x509.InvalidVersion, x509.UnsupportedGeneralNameType,
)  # fmt: skip
"""What cryptography raises for what it can't read: errors that have no base of their own."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")


def service_of(der: bytes) -> str:
    """Whose certificate it is, by its bytes; a RefusedError if it is no leaf that names one service.

    Its signature, time and issuer are not looked at here.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        uris, usage, ca = _contents(certificate)
    except UNREADABLE as error:
        raise RefusedError(MALFORMED, str(error)) from None
    if certificate.serial_number <= 0:
        raise RefusedError(MALFORMED, "a serial number that is not positive (RFC 5280)")
    if ca:
        raise RefusedError(MALFORMED, "a CA's, where a workload's is wanted")
    if usage is None or not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise RefusedError(MALFORMED, "a key usage that is not for signatures alone")
    if len(uris) != 1:
        raise RefusedError(MALFORMED, f"{len(uris)} URIs, where there must be one")
    return _service(uris[0])


def _contents(certificate: x509.Certificate) -> tuple[list[str], x509.KeyUsage | None, bool]:
    """Its URIs, what its key may be used for, and whether it is a CA's; raises what is in UNREADABLE."""
    uris: list[str] = []
    usage: x509.KeyUsage | None = None
    ca = False
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            uris = value.get_values_for_type(x509.UniformResourceIdentifier)
        elif isinstance(value, x509.KeyUsage):
            usage = value
        elif isinstance(value, x509.BasicConstraints):
            ca = value.ca
    return uris, usage, ca


def _service(uri: str) -> str:
    """The service that an identity is of."""
    name = uri.removeprefix(PREFIX)
    if name == uri or not _NAME.fullmatch(name):
        raise RefusedError(WRONG_IDENTITY, f"{uri[:200]!r} is of no service here")
    return name
