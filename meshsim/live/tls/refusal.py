"""Why a proxy takes or makes no connection, and how often that was.

Whoever refuses says so in one of these words; they are labels of metrics, so they are few and never change.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

PLAINTEXT = "plaintext"
"""No TLS, where the mode is strict."""
DISABLED = "tls_disabled"
"""TLS, where the mode is disable."""
VERSION = "version"
"""The peer has no TLS 1.3, or no cipher suite or group of ours."""
PROTOCOL = "protocol"
"""The peer offers protocols to speak on TLS (ALPN), and HTTP/1.1 is none of them."""
NO_CERTIFICATE = "no_certificate"
"""The peer shows none."""
UNTRUSTED_ROOT = "untrusted_root"
"""The chain ends at no root that is trusted now."""
EXPIRED = "expired"
"""A certificate's time is over, or has not begun."""
MALFORMED = "malformed_certificate"
"""A leaf that is no X.509-SVID: a CA, no or several URIs, another key usage, a broken signature."""
WRONG_IDENTITY = "wrong_identity"
"""An X.509-SVID of somebody else than was wanted, or of another trust domain."""
GARBAGE = "garbage"
"""What came is not TLS, or breaks its rules."""
CLOSED = "closed"
"""The peer closed before the handshake was over."""
TIMEOUT = "timeout"
"""The handshake was not over in time, or nothing came at all."""
CROWDED = "crowded"
"""So many others were waiting that this one, the longest there, had to go."""
PEER = "refused_by_peer"
"""The peer sent an alert: it does not accept us."""
UNREADY = "no_own_certificate"
"""This proxy has no certificate yet."""

_BY_ERROR = {
    9: EXPIRED,  # X509_V_ERR_CERT_NOT_YET_VALID
    10: EXPIRED,  # X509_V_ERR_CERT_HAS_EXPIRED
    2: UNTRUSTED_ROOT,  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
    7: UNTRUSTED_ROOT,  # X509_V_ERR_CERT_SIGNATURE_FAILURE: a root of the same name
    18: UNTRUSTED_ROOT,  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
    19: UNTRUSTED_ROOT,  # X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
    20: UNTRUSTED_ROOT,  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: UNTRUSTED_ROOT,  # X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
}

_BY_WORDS = (
    ("peer did not return a certificate", NO_CERTIFICATE),
    ("unsupported protocol", VERSION),
    ("no shared cipher", VERSION),
    ("no suitable", VERSION),  # key share, signature algorithm
    ("no shared group", VERSION),
    ("alert", PEER),
)


class RefusedError(ConnectionError):
    """There is no connection, for a `reason` of the above; the text has what is known beside it."""

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(f"TLS: {reason.replace('_', ' ')}{': ' if text else ''}{text}")
        self.reason = reason


def verification(error: int) -> str:
    """The reason for which OpenSSL does not accept a certificate, by its number (``X509_V_ERR_...``)."""
    return _BY_ERROR.get(error, MALFORMED)


def refusal(text: str) -> RefusedError:
    """What a failure of OpenSSL's was, by its words."""
    return RefusedError(next((reason for words, reason in _BY_WORDS if words in text), GARBAGE), text)


@dataclass(slots=True)
class Tally:
    """What one side of a proxy has seen: `handshakes` that ended well, and those `refused`, by reason."""

    handshakes: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def message(self) -> dict[str, Any]:
        """As it is shown."""
        return {"handshakes": self.handshakes, "refused": dict(sorted(self.refused.items()))}
