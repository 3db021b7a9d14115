"""Whom a proxy trusts: what is kept of a verification, and what is not."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from meshsim.live.tls import refusal, trust
from meshsim.live.tls.refusal import RefusedError
from meshsim.live.tls.trust import Trust
from meshsim.scenario.identity import uri_of
from tests.live.tls.pki import SIGNS, Authority, key

ROOT = Authority()


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def reason(trusted: Trust, certificate: x509.Certificate) -> str:
    """Why it is refused; nothing if it is not."""
    try:
        trusted.service_of(der(certificate))
    except RefusedError as error:
        return error.reason
    return ""


def signed(
    by: ec.EllipticCurvePrivateKey, issuer: x509.Name, *more: x509.ExtensionType, critical: bool = True
) -> x509.Certificate:
    """A leaf of `client` by whoever it is."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer)
        .public_key(key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.KeyUsage(*SIGNS), True)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri_of("client"))]), True)
    )
    for each in more:
        builder = builder.add_extension(each, critical)
    return builder.sign(by, hashes.SHA256())


def test_a_leaf_of_a_root() -> None:
    leaf = ROOT.leaf("client").certificate
    assert Trust([Authority("root 1").root, ROOT.root]).service_of(der(leaf)) == "client"
    assert reason(Trust([]), leaf) == refusal.UNTRUSTED_ROOT
    assert reason(Trust([Authority().root]), leaf) == refusal.UNTRUSTED_ROOT, "another of the same name"


def test_what_a_leaf_has_signed() -> None:
    """A workload's key signs nothing, whatever name it gives its issuer."""
    own = ROOT.leaf("cart")
    trusted = Trust([ROOT.root])
    assert reason(trusted, signed(own.key, ROOT.name)) == refusal.UNTRUSTED_ROOT
    assert reason(trusted, signed(own.key, own.certificate.subject)) == refusal.UNTRUSTED_ROOT
    assert reason(trusted, signed(ROOT.key, ROOT.name)) == ""


def test_a_critical_extension_that_nobody_knows() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    trusted = Trust([ROOT.root])
    assert reason(trusted, signed(ROOT.key, ROOT.name, unknown)) == refusal.MALFORMED
    assert reason(trusted, signed(ROOT.key, ROOT.name, unknown, critical=False)) == ""


@pytest.mark.parametrize(("end", "why"), [(-1.0, refusal.EXPIRED), (30.0, "")])
def test_its_time_is_looked_at_again(end: float, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """X.509 has whole seconds, and the last belongs to it."""
    leaf = ROOT.leaf("client", end=60.0).certificate
    trusted = Trust([ROOT.root])
    assert reason(trusted, leaf) == ""
    last = leaf.not_valid_after_utc.timestamp() + 1.0
    monkeypatch.setattr(time, "time", lambda: last - 1e-6 - max(end, 0.0) if not why else last)
    assert reason(trusted, leaf) == why
    monkeypatch.setattr(time, "time", lambda: leaf.not_valid_before_utc.timestamp() - 0.5)
    assert reason(trusted, leaf) == refusal.EXPIRED


def test_a_root_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = ROOT.leaf("client", end=10 * 86400.0).certificate
    trusted = Trust([ROOT.root])
    assert reason(trusted, leaf) == ""
    monkeypatch.setattr(time, "time", lambda: ROOT.root.not_valid_after_utc.timestamp() + 2.0)
    assert reason(trusted, leaf) == refusal.EXPIRED


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "KEPT", 3)
    trusted = Trust([ROOT.root])
    for number in range(8):
        assert trusted.service_of(der(ROOT.leaf(f"s{number}").certificate)) == f"s{number}"
        assert len(trusted._good) <= 3
    with pytest.raises(RefusedError):
        trusted.service_of(der(Authority().leaf("s").certificate))
    assert len(trusted._good) <= 3
