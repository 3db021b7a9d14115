"""Answers of an authority that is broken, out of date or somebody else's: none is taken, nor half of one."""

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from meshsim.live.identity.answers import AnswerError, read_answer
from meshsim.live.identity.server import trusted
from meshsim.live.identity.signer import Bundle
from meshsim.live.identity.signing import Root, new_key, pem

NOW = time.time()
KEY = new_key()
ROOTS = [Root.make(number, NOW) for number in range(3)]
OTHER = Root.make(0, NOW)


def answer(root=ROOTS[0], key=KEY, name="cart", oldest=0, roots=ROOTS[:1], now=NOW, until=NOW + 6000, **more):
    certificate = root.sign(key.public_key(), name, now, until)
    bundle = trusted(Bundle(oldest, tuple(pem(each.certificate) for each in roots)))
    return json.dumps({"certificate": pem(certificate).decode(), "signed": 1.0, **bundle, **more}).encode()


KNOWN = {0: ROOTS[0].certificate}
BEFORE = ROOTS[0].sign(KEY.public_key(), "cart", NOW, NOW + 6000)


def test_a_good_one():
    found = read_answer(answer(), KEY, "cart", KNOWN, BEFORE)
    assert (found.signed, found.root, dict(found.roots)) == (1.0, 0, KNOWN)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "garbage"),
        (b"\xff\xfe", "garbage"),
        (b"[1]", "garbage"),
        (b"{}", "garbage"),
        (answer()[:-40], "garbage"),
        (answer(certificate="x"), "garbage"),
        (answer(certificate=pem(BEFORE, BEFORE).decode()), "garbage"),
        (answer(signed="now"), "garbage"),
        (answer(signed=float("nan")), "garbage"),
        (answer(oldest=-1), "garbage"),
        (answer(roots=[]), "garbage"),
        (answer(roots=ROOTS[:1] * 101), "garbage"),
        (answer(key=new_key()), "other_key"),
        (answer(name="db"), "other_name"),
        (answer(certificate=pem(ROOTS[0].certificate).decode()), "other_key"),
        (answer(now=NOW - 30), "stale"),
        (answer(until=NOW - 3), "expired"),
        (answer(root=OTHER), "untrusted_root"),
        (answer(root=OTHER, roots=[OTHER]), "changed_root"),
    ],
)
def test_a_bad_one_is_refused(data, reason):
    with pytest.raises(AnswerError) as error:
        read_answer(data, KEY, "cart", KNOWN, BEFORE)
    assert error.value.reason == reason


@pytest.mark.parametrize("field", ["certificate", "roots"])
def test_a_certificate_of_no_version_is_garbage(field):
    good = BEFORE if field == "certificate" else ROOTS[0].certificate
    der = good.public_bytes(Encoding.DER)
    version = bytes.fromhex("a0030201")
    assert der.count(version + b"\x02") == 1
    odd = base64.encodebytes(der.replace(version + b"\x02", version + b"\x05")).decode()
    odd = f"-----BEGIN CERTIFICATE-----\n{odd}-----END CERTIFICATE-----\n"
    fields = json.loads(answer()) | {field: odd if field == "certificate" else [odd]}
    with pytest.raises(AnswerError, match="garbage"):
        read_answer(json.dumps(fields).encode(), KEY, "cart", KNOWN, BEFORE)


def test_trust_only_moves_on():
    known = {1: ROOTS[1].certificate, 2: ROOTS[2].certificate}
    found = read_answer(answer(root=ROOTS[1], roots=ROOTS[:2]), KEY, "cart", known)
    assert list(found.roots) == [1, 2], "what was dropped does not come back, what was learned stays"
    with pytest.raises(AnswerError, match="stale"):
        read_answer(answer(), KEY, "cart", known)
    with pytest.raises(AnswerError, match="untrusted"):
        read_answer(answer(root=ROOTS[0], roots=ROOTS[:2]), KEY, "cart", known)
    found = read_answer(answer(root=ROOTS[2], oldest=2, roots=ROOTS[2:]), KEY, "cart", known)
    assert list(found.roots) == [2]


GOOD = answer()


@given(st.data())
def test_whatever_comes_is_an_answer_or_an_error(data):
    good = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_answer(bytes(good), KEY, "cart", KNOWN, BEFORE)
    except AnswerError:
        return
    assert found.root == 0
    assert found.certificate.public_key() == KEY.public_key()
