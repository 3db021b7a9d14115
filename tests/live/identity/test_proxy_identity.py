"""What a proxy does with an authority that answers nonsense, loses answers, or is not there."""

import asyncio
import json
import time

import pytest
from OpenSSL import SSL

from meshsim.live.clock import LiveClock
from meshsim.live.identity import client
from meshsim.live.identity.answers import AnswerError
from meshsim.live.identity.proxy import ProxyIdentity
from meshsim.live.referral import Referral
from meshsim.live.tls.context import Tls
from meshsim.live.troubles import troubles
from meshsim.live.wire import NOBODY, Handler
from meshsim.mesh.certificate import EXPIRED, REFUSED_BY_CA, SIGNED
from meshsim.scenario import loads
from tests.live.identity.authority import authority
from tests.live.proxy.ends import settle
from tests.live.proxy.rig import live

SCENARIO = """
name: one
duration: 10s
load: [{to: cart, rate: 1/s}]
mesh:
  dataplane: sidecar
  mtls: {certificate_ttl: 2s, rotate_at: 5%, jitter: 0%, ca: {retry: {base: 20ms, max: 20ms}}}
services: {cart: {time: 1ms}}
"""


def loop():
    return asyncio.get_running_loop()


def identity_of(at, name="cart"):
    clock = LiveClock(loop(), ideal=False)
    return ProxyIdentity(clock, Tls(), name, Referral(at.address, at.root.decode(), at.token(name)))


def begin(identity, at):
    base = time.monotonic()
    for clock in (identity.clock, at.clock):
        clock.begin(base)
    at.signer.wall = time.time()
    identity.start(loads(SCENARIO), 7)


def kinds(identity):
    return [what for _, what in identity.events]


@live
async def test_it_renews_and_each_certificate_has_a_key_of_its_own():
    async with authority(loop()) as at:
        identity = identity_of(at)
        await identity.enrol()
        identity.tls = tls = Full(0, None)
        begin(identity, at)
        await settle(lambda: kinds(identity).count(SIGNED) >= 4, "it has been renewed")
        keys = {each.certificate.public_key().public_numbers().x for each in (identity.answer, *tls.used)}
        assert len(keys) == len(tls.used) >= 4
        assert not at.server.refusals
        identity.close()
        identity.clock.close()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda data: b"", "garbage"),
        (lambda data: data[: len(data) // 2], "garbage"),
        (lambda data: data.replace(b"BEGIN", b"BEGUN", 1), "garbage"),
        (lambda data: b"\x00" * 100, "garbage"),
    ],
)
@live
async def test_a_spoilt_answer_is_counted_and_the_old_certificate_is_kept(spoil, reason):
    async with authority(loop()) as at:
        identity = identity_of(at)
        await identity.enrol()
        begin(identity, at)
        await settle(lambda: not identity._learning, "the certificate of time 0")
        before, honest, spoilt, kept = identity.answer, identity.client.certificate, [], []

        async def answer(*question):
            kept.append(identity.answer is before)
            data = await honest(*question)
            if len(spoilt) < 3:
                spoilt.append(data)
                return spoil(data)
            return data

        identity.client.certificate = answer
        troubles.clear()
        await settle(lambda: SIGNED in kinds(identity), "a good one")
        assert kept[:4] == [True] * 4
        assert kinds(identity)[:4] == [REFUSED_BY_CA] * 3 + [SIGNED]
        assert sum(troubles.values()) == 3
        assert all(reason in what for what in troubles)
        assert not at.server.refusals, "it asks for the same again with the same token"
        identity.close()
        identity.clock.close()
        troubles.clear()


@live
async def test_when_it_was_signed_is_not_believed_if_that_is_still_to_come():
    """Else it would be renewed then, long after it is over."""
    async with authority(loop()) as at:
        identity = identity_of(at)
        honest, spoilt = identity.client.certificate, []

        async def answer(*question):
            data = json.loads(await honest(*question))
            if len(spoilt) < 2:
                spoilt.append(data["signed"])
                data["signed"] = (1e8, -1e8)[len(spoilt) - 1]
            return json.dumps(data).encode()

        identity.client.certificate = answer
        for _ in range(2):
            with pytest.raises(AnswerError, match="garbage"):
                await identity.enrol()
        assert identity.answer is None
        await identity.enrol()
        assert identity.answer is not None
        assert not at.server.refusals
        identity.clock.close()


class Full(Tls):
    """Where certificates are kept there is no place, for so many `times`."""

    def __init__(self, times, error):
        super().__init__()
        self.times = times
        self.error = error
        self.used = []

    def renew(self, credentials):
        self.times -= 1
        if self.times >= 0:
            raise self.error
        self.used.append(credentials)
        super().renew(credentials)


@pytest.mark.parametrize("error", [AnswerError("unwritable"), ValueError("no such key"), SSL.Error([])])
@live
async def test_what_can_not_be_used_is_asked_for_again(error):
    """A full disk, or a certificate that OpenSSL does not take: what there was stays."""
    async with authority(loop()) as at:
        identity = identity_of(at)
        await identity.enrol()
        begin(identity, at)
        await settle(lambda: not identity._learning, "the certificate of time 0")
        before = identity.answer
        troubles.clear()
        identity.tls = tls = Full(1000, error)
        await settle(lambda: REFUSED_BY_CA in kinds(identity), "it is refused")
        assert identity.answer is before
        tls.times = 0
        await settle(lambda: SIGNED in kinds(identity), "signed")
        assert tls.used[0].certificate == identity.answer.certificate
        assert not at.server.refusals
        tls.times, tls.used = 1, []
        at.signer.rotate(1)
        identity.learn(1, drops=False)
        await settle(lambda: any(len(each.roots) == 2 for each in tls.used), "the new root is used")
        identity.close()
        identity.clock.close()
        troubles.clear()


@live
async def test_an_answer_that_stops_in_the_middle_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(client, "REST_LIMIT", 0.1)

    class Stopping(Handler):
        def begin(self, connection, head, body, whole):
            connection.start(200, [], 100)
            connection.send(b"{")
            return NOBODY

    async with authority(loop()) as at:
        at.listening.handler = Stopping()
        identity = identity_of(at)
        with pytest.raises(AnswerError, match="timeout"):
            await identity.enrol()
        identity.clock.close()


@live
async def test_who_has_stopped_asking_can_ask_again():
    async with authority(loop(), signing=0.1) as at:
        identity = identity_of(at)
        await identity.enrol()
        begin(identity, at)
        back = []
        for _ in range(3):
            await settle(lambda: at.server.held, "it asks")
            identity.gone(lambda: None)()
            identity.back(lambda: back.append(1))()
        await settle(lambda: back, "it is back")
        assert back == [1]
        assert SIGNED in kinds(identity)
        assert not at.server.refusals
        identity.close()
        identity.clock.close()


@live
async def test_who_has_gone_for_good_asks_no_more_and_nothing_of_his_expires(monkeypatch):
    """The clock goes on: that of the agents of Envoys is one for all."""
    turning = {"events": [{"at": "500ms", "component": "ca", "rotate_root": True}]}
    async with authority(loop()) as at:
        identity, asked = identity_of(at), []
        await identity.enrol()
        base = time.monotonic()
        identity.clock.begin(base)
        at.clock.begin(base)
        at.signer.wall = time.time()
        identity.start(loads(SCENARIO, overrides=turning), 7)
        await settle(lambda: kinds(identity).count(SIGNED) > 1, "certificates")
        before = kinds(identity)
        for page in ("certificate", "roots"):
            monkeypatch.setattr(identity.client, page, lambda *question: asked.append(question))
        identity.close()
        while identity.clock.now() < 3.0:
            await asyncio.sleep(0.05)
        assert (asked, kinds(identity)) == ([], before)
        identity.clock.close()


@live
async def test_a_certificate_expires_while_nobody_signs_and_that_is_noted():
    async with authority(loop()) as at:
        identity = identity_of(at)
        await identity.enrol()
        begin(identity, at)
        at.server.go_down()
        await settle(lambda: EXPIRED in kinds(identity), "expiry")
        assert set(kinds(identity)) == {REFUSED_BY_CA, EXPIRED}
        at.server.come_up()
        await settle(lambda: SIGNED in kinds(identity), "signed")
        identity.close()
        identity.clock.close()


@live
async def test_without_a_certificate_it_does_not_begin():
    async with authority(loop()) as at:
        identity = identity_of(at)
        identity._wish.token = "stolen"
        with pytest.raises(AnswerError, match="unknown_token"):
            await identity.enrol()
        identity.clock.close()
    with pytest.raises(AnswerError, match="unreachable"):
        await identity.enrol()
