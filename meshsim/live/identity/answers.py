"""What the authority answers, read with suspicion: a control plane may be broken, or somebody else.

An answer is taken whole or not at all, and only if it is for this key and this name, of a root that is
trusted, and newer than what there is. Trust only moves on: a root that was dropped does not come back, and
none is exchanged for another of the same number.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from meshsim.live.identity.signing import Key, is_of
from meshsim.live.tls.identity import UNREADABLE, service_of
from meshsim.live.tls.refusal import RefusedError
from meshsim.live.tls.trust import issued_by

PROVISIONAL = -1.0
"""When a certificate was signed, if that was before scenario time 0 was known."""
ROOTS_MOST = 100
"""Of roots that are trusted at once."""
Roots = Mapping[int, x509.Certificate]
"""By generation."""
NOTHING: Roots = MappingProxyType({})


class AnswerError(Exception):
    """There is no certificate; `reason` is one of few words, for counting."""

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(f"{reason.replace('_', ' ')}{': ' if text else ''}{text}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """A certificate, when it was `signed` (scenario time, s), and by generation the roots to be trusted."""

    certificate: x509.Certificate
    signed: float
    roots: Roots

    @property
    def root(self) -> int:
        """The generation of the root that has signed it; -1 if none that is trusted has."""
        found = (number for number, root in self.roots.items() if issued_by(self.certificate, root))
        return next(found, -1)


def fields_of(data: bytes) -> dict[str, Any]:
    """The JSON object that an answer is."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise AnswerError("garbage", "no JSON") from None
    if not isinstance(found, dict):
        raise AnswerError("garbage", "no JSON object")
    return found


def read_roots(fields: Mapping[str, Any], known: Roots) -> dict[int, x509.Certificate]:
    """The roots to be trusted, by generation: those of an answer, as far as they are no step back."""
    oldest, texts = fields.get("oldest"), fields.get("roots")
    if not isinstance(oldest, int) or isinstance(oldest, bool) or oldest < 0:
        raise AnswerError("garbage", "no number of a root")
    if not isinstance(texts, list) or not 0 < len(texts) <= ROOTS_MOST:
        raise AnswerError("garbage", "no roots")
    found = {oldest + number: _certificate(text) for number, text in enumerate(texts)}
    if any(known.get(number, root) != root for number, root in found.items()):
        raise AnswerError("changed_root")
    if known:
        oldest = max(oldest, min(known))
        if max(found) < min(known):
            raise AnswerError("stale", "its roots are all dropped")
    together = {**known, **found}
    return {number: root for number, root in sorted(together.items()) if number >= oldest}


def read_answer(
    data: bytes, key: Key, name: str, known: Roots = NOTHING,
    before: x509.Certificate | None = None,
) -> Answer:  # fmt: skip
    """An answer for the holder of `key`, called `name`, who trusts `known` roots and has a certificate.

    Raises:
        AnswerError: it is of no use.
    """
    fields = fields_of(data)
    certificate, signed = _certificate(fields.get("certificate")), fields.get("signed")
    if isinstance(signed, bool) or not isinstance(signed, int | float) or not abs(signed) < 1e9:
        raise AnswerError("garbage", "no time of signing")
    if not is_of(certificate, key):
        raise AnswerError("other_key")
    try:
        found = service_of(certificate.public_bytes(Encoding.DER))
    except RefusedError as error:
        raise AnswerError("malformed_certificate", str(error)) from None
    if found != name:
        raise AnswerError("other_name", f"{found}, where {name} was asked for")
    if before is not None and certificate.not_valid_before_utc < before.not_valid_before_utc:
        raise AnswerError("stale", "older than what there is")
    if certificate.not_valid_after_utc.timestamp() < time.time() - 1.0:  # see `signer.Signer.inclusive`
        raise AnswerError("expired")
    answer = Answer(certificate, float(signed), read_roots(fields, known))
    if answer.root < 0:
        raise AnswerError("untrusted_root")
    return answer


def _certificate(text: Any) -> x509.Certificate:
    """The one certificate of a text in PEM."""
    if not isinstance(text, str):
        raise AnswerError("garbage", "no certificate")
    try:
        (found,) = x509.load_pem_x509_certificates(text.encode("utf-8", "replace"))
    except UNREADABLE:
        raise AnswerError("garbage", "no certificate") from None
    return found
