"""Whom a proxy trusts: leaves that one of its roots has signed, in their time.

OpenSSL would look at a peer's signature anew in each handshake, which is a third of what that costs. But a
certificate that a root has signed stays signed: each is verified once, and kept by its bytes as long as the
same roots are trusted. Its time is looked at every time.

There is nothing between root and leaf: no proxy accepts what an intermediate authority has signed.

Source: RFC 5280, section 6.1, for a path of one certificate; OpenSSL checks the leaf's purpose and time too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509

from meshsim.live.tls.identity import UNREADABLE, service_of
from meshsim.live.tls.refusal import EXPIRED, MALFORMED, UNTRUSTED_ROOT, RefusedError

KEPT = 1024
"""Certificates that are known to be good, at most; when there are more, all are verified again."""
SECOND = timedelta(seconds=1)
"""The last second of a certificate belongs to its time, as OpenSSL reads it."""

_KNOWN = (
    x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName,
    x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier,
)  # fmt: skip
"""Extensions that may be critical: those that somebody here looks at."""


@dataclass(frozen=True, slots=True)
class _Good:
    """A verified certificate: whose it is, and its time, s since 1970."""

    service: str
    begin: float
    end: float


class Trust:
    """The `roots` that are trusted now."""

    def __init__(self, roots: Sequence[x509.Certificate]) -> None:
        self.roots = tuple(roots)
        self._good: dict[bytes, _Good] = {}

    def service_of(self, der: bytes) -> str:
        """The service that a certificate names, by its bytes; a RefusedError if it is not good now."""
        good = self._good.get(der)
        if good is None:
            good = self._verified(der)
            if len(self._good) >= KEPT:
                self._good.clear()
            self._good[der] = good
        if not good.begin <= time.time() < good.end:
            raise RefusedError(EXPIRED)
        return good.service

    def _verified(self, der: bytes) -> _Good:
        """Looks at all that does not change; raises a RefusedError."""
        service = service_of(der)
        leaf = x509.load_der_x509_certificate(der)
        if any(each.critical and not isinstance(each.value, _KNOWN) for each in leaf.extensions):
            raise RefusedError(MALFORMED, "a critical extension that nobody here knows")
        for root in self.roots:
            if issued_by(leaf, root):
                begin = max(leaf.not_valid_before_utc, root.not_valid_before_utc)
                end = min(leaf.not_valid_after_utc, root.not_valid_after_utc) + SECOND
                return _Good(service, begin.timestamp(), end.timestamp())
        raise RefusedError(UNTRUSTED_ROOT)


def issued_by(leaf: x509.Certificate, root: x509.Certificate) -> bool:
    """Whether a leaf names this root as its issuer, and has its signature."""
    try:
        leaf.verify_directly_issued_by(root)
    except UNREADABLE:  # another name, another key or another kind of it
        return False
    return True
