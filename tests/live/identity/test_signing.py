"""What is signed, and what is not."""

import contextlib
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from meshsim.live.identity.signing import (
    REQUEST_BYTES,
    RequestError,
    Root,
    new_key,
    read_request,
    request,
)
from meshsim.live.tls.identity import service_of
from meshsim.live.tls.refusal import RefusedError
from meshsim.live.tls.trust import issued_by
from meshsim.scenario.identity import uri_of

NOW = 1_800_000_000.4


def sent(*names, key=None, extensions=(), digest=None):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key or new_key(), digest or hashes.SHA256()).public_bytes(Encoding.PEM)


def uri(name):
    return x509.UniformResourceIdentifier(uri_of(name))


def test_a_certificate_is_an_svid_for_a_short_time():
    root, key = Root.make(0, NOW), new_key()
    csr = read_request(request(key, "cart").public_bytes(Encoding.PEM), "cart")
    found = root.sign(csr.public_key(), "cart", NOW, NOW + 60)
    assert service_of(found.public_bytes(Encoding.DER)) == "cart"
    assert issued_by(found, root.certificate)
    assert not issued_by(found, Root.make(0, NOW).certificate)
    assert found.public_key() == key.public_key()
    assert found.not_valid_after_utc == datetime.datetime.fromtimestamp(1_800_000_060, datetime.UTC)
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "malformed"),
        (b"x" * (REQUEST_BYTES + 1), "too_large"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "malformed"),
        (sent(), "no_name"),
        (sent(uri("db")), "other_name"),
        (sent(uri("cart"), uri("cart")), "extra_name"),
        (sent(uri("cart"), x509.DNSName("cart")), "extra_name"),
        (sent(x509.DNSName("cart")), "other_name"),
        (sent(uri("cart/../db")), "other_name"),
        (sent(uri("CART")), "other_name"),
        (sent(uri("cart"), extensions=[x509.BasicConstraints(True, 0)]), "extra_extension"),
        (sent(uri("cart"), key=ec.generate_private_key(ec.SECP384R1())), "bad_key"),
        (sent(uri("cart"), key=rsa.generate_private_key(65537, 2048)), "bad_key"),
    ],
)
def test_a_request_that_wants_more_than_it_may_is_refused(data, reason):
    with pytest.raises(RequestError) as error:
        read_request(data, "cart")
    assert error.value.reason == reason


def test_a_request_whose_signature_is_not_of_its_key_is_refused():
    good = request(new_key(), "cart").public_bytes(Encoding.DER)
    for place in range(len(good) - 60, len(good) - 1, 7):  # in the signature, which has 68 bytes at least
        bad = bytearray(good)
        bad[place] ^= 1
        try:
            data = x509.load_der_x509_csr(bytes(bad)).public_bytes(Encoding.PEM)
        except ValueError:
            continue
        with pytest.raises(RequestError) as error:
            read_request(data, "cart")
        assert error.value.reason in ("bad_signature", "malformed")


SIGNED = Root.make(0, NOW).sign(new_key().public_key(), "cart", NOW, NOW + 60).public_bytes(Encoding.DER)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # cryptography's word on a negative one
@given(st.data())
def test_a_damaged_certificate_is_of_somebody_or_refused(data):
    damaged = bytearray(SIGNED)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RefusedError):
        assert service_of(bytes(damaged))


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_serial_number_that_is_not_positive_is_refused():
    serial = x509.load_der_x509_certificate(SIGNED).serial_number
    place = SIGNED.index(serial.to_bytes((serial.bit_length() + 8) // 8))
    with pytest.raises(RefusedError, match="not positive"):
        service_of(SIGNED[:place] + b"\x80" + SIGNED[place + 1 :])


def test_two_extensions_of_a_kind_are_refused():
    usages, names = bytes.fromhex("0603551d25"), bytes.fromhex("0603551d11")
    twice = SIGNED.replace(usages, names)
    assert twice != SIGNED
    with pytest.raises(RefusedError):
        service_of(twice)


def test_a_key_is_not_in_a_repr():
    assert "key" not in repr(Root.make(0, NOW)).replace("keyCert", "")
