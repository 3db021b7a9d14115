"""The authority over its own wire: what it signs, what it refuses, and what of that is counted."""

import asyncio
import json
import time

import pytest

from meshsim.errors import MeshsimError
from meshsim.live.child import Spec
from meshsim.live.identity.answers import AnswerError, read_answer
from meshsim.live.identity.pinned import AuthorityTls
from meshsim.live.identity.signing import pem
from meshsim.live.roles.control_plane import ControlPlane
from meshsim.live.secret import hashed, new_token
from meshsim.live.wire import Limits
from meshsim.scenario import loads
from tests.live.identity.authority import Wisher, authority
from tests.live.proxy.ends import settle
from tests.live.proxy.rig import live


def loop():
    return asyncio.get_running_loop()


@live
async def test_whoever_has_a_token_gets_a_certificate_and_with_the_next_token_another():
    async with authority(loop()) as at:
        wisher, client = Wisher(at.token()), at.client()
        before = None
        for number in (1, 2, 3):
            answer = read_answer(await wisher.ask(client, number), wisher.key, "cart", before=before)
            assert answer.root == 0
            assert answer.signed == pytest.approx(at.clock.now(), abs=1.0)
            assert abs(answer.certificate.not_valid_after_utc.timestamp() - time.time() - 60) < 3
            before, wisher = answer.certificate, wisher.next()
        assert at.server.signed == 3
        assert not at.server.refusals


@live
async def test_the_same_question_is_answered_again_but_no_other_with_its_token():
    async with authority(loop()) as at:
        token, client = at.token(), at.client()
        wisher, thief = Wisher(token), Wisher(token)
        for _ in range(2):  # the first answer was lost on its way
            read_answer(await wisher.ask(client), wisher.key, "cart")
        with pytest.raises(AnswerError, match="used_token"):
            await thief.ask(client)
        wisher = wisher.next()
        await wisher.ask(client)
        with pytest.raises(AnswerError, match="used_token"):
            await Wisher(token).ask(client)
        assert at.server.refusals == {"used_token": 2}


@live
async def test_if_the_thief_comes_first_the_owner_is_refused_and_that_is_counted():
    async with authority(loop()) as at:
        token, client = at.token(), at.client()
        await Wisher(token).ask(client)
        with pytest.raises(AnswerError) as error:
            await Wisher(token).ask(client)
        assert error.value.reason == "refused"
        assert at.server.refusals == {"used_token": 1}


@live
async def test_who_may_not_ask_is_refused():
    async with authority(loop()) as at:
        client = at.client()
        cases = [
            (Wisher(new_token()), "unknown_token"),
            (Wisher(at.token(), "db"), "other_name"),
        ]
        for wisher, reason in cases:
            with pytest.raises(AnswerError, match=reason):
                await wisher.ask(client)
        wisher = Wisher(at.token())
        wisher.csr = b"x" * 9000
        with pytest.raises(AnswerError, match="too_large"):
            await wisher.ask(client)
        wisher.csr = b"garbage"
        with pytest.raises(AnswerError, match="malformed"):
            await wisher.ask(client)
        assert at.server.refusals == {
            "unknown_token": 1, "other_name": 1, "too_large": 1, "malformed": 1,
        }  # fmt: skip
        assert at.server.signed == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"[" * 5000, b'{"token": 1, "next": "", "csr": "", "number": 1}',
     b'{"token": "x", "next": "x", "csr": "x", "number": true}',
     b'{"token": "x", "next": "x", "csr": "x", "number": -1}',
     b'{"token": "\\ud800", "next": "x", "csr": "\\ud800", "number": 1}'],
)  # fmt: skip
@live
async def test_what_is_no_request_is_refused(body):
    async with authority(loop()) as at:
        with pytest.raises(AnswerError, match="refused"):
            await at.client()._ask(b"POST", b"/certificate", body)
        assert sum(at.server.refusals.values()) == 1
        await Wisher(at.token()).ask(at.client())


@live
async def test_a_question_that_does_not_end_is_cut_off():
    quick = Limits(handshake_timeout=0.2, header_timeout=0.2, stream_idle_timeout=0.2)
    async with authority(loop(), limits=quick) as at:
        from meshsim.live.tls.connect import connect
        from meshsim.live.wire import ClientConnection, Reply

        class Lost(Reply):
            def __init__(self):
                self.over = asyncio.Event()

            def lost(self, connection, kind, why):
                self.over.set()

            def whole(self, connection, head, body):
                self.over.set()

        for sent in (
            b"POST /certificate HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{",
            b"POST /certi",
        ):
            lost, connection = Lost(), ClientConnection(lambda _: None, Limits())
            assert await connect(at.client()._tls, "authority", connection, at.address, 5.0)
            connection.request(lost, sent, b"", True, b"POST")
            await asyncio.wait_for(lost.over.wait(), 60.0)
            connection.close()
        silent = await asyncio.open_connection(*at.address)
        assert await asyncio.wait_for(silent[0].read(), 60.0) == b"", "no TLS, nothing"
        silent[1].close()
        plain = await asyncio.open_connection(*at.address)
        plain[1].write(b"GET /roots HTTP/1.1\r\nhost: a\r\n\r\n")
        assert await asyncio.wait_for(plain[0].read(), 60.0) == b"", "no TLS, nothing"
        plain[1].close()
        assert at.tls.server.refused == {"timeout": 1, "plaintext": 1}
        assert at.server.refusals["slow"] == 1
        await Wisher(at.token()).ask(at.client())


@live
async def test_while_it_is_down_it_refuses_and_first_what_it_holds():
    async with authority(loop(), signing=30.0) as at:
        client, wisher = at.client(), Wisher(at.token())
        asked = asyncio.ensure_future(wisher.ask(client))
        waits = asyncio.ensure_future(Wisher(at.token()).ask(client))
        while len(at.server.held) < 2:
            await asyncio.sleep(0.01)
        at.server.go_down()
        for each in (asked, waits):
            with pytest.raises(AnswerError) as error:
                await each
            assert error.value.reason == "down"
        with pytest.raises(AnswerError, match="down"):
            await wisher.ask(client)
        assert at.server.refusals == {"down": 3}
        read_answer(await wisher.ask(client, 0), wisher.key, "cart")  # at time 0 everybody has one
        at.server.come_up()


@live
async def test_signing_takes_its_time_one_after_the_other():
    async with authority(loop(), signing=0.05) as at:
        client, began = at.client(), time.monotonic()
        answers = await asyncio.gather(*(Wisher(at.token()).ask(client) for _ in range(4)))
        assert time.monotonic() - began >= 0.2
        assert len({json.loads(each)["signed"] for each in answers}) == 4


@live
async def test_whoever_does_not_wait_any_longer_can_ask_again():
    async with authority(loop(), signing=0.2) as at:
        wisher = Wisher(at.token())
        with pytest.raises(AnswerError, match="timeout"):
            await wisher.ask(at.client(limit=0.05))
        read_answer(await wisher.ask(at.client(), 2), wisher.key, "cart")
        assert at.server.signed == 1


@live
async def test_who_has_gone_leaves_the_queue():
    """As in a simulation: what a worker has begun is done in vain, what waits is not begun."""
    async with authority(loop(), signing=30.0) as at:
        asked = [asyncio.ensure_future(Wisher(at.token()).ask(at.client())) for _ in range(3)]
        await settle(lambda: at.server.station.length == 2, "two wait")
        for each in asked:
            each.cancel()
        await settle(lambda: at.server.station.length == 0, "they have left")
        assert at.server.station.working == 1
        assert not at.server.held


@live
async def test_it_listens_for_this_machine_alone(tmp_path):
    scenario = loads("name: a\nduration: 1s\nload: [{to: b, rate: 1/s}]\nservices: {b: {time: 1ms}}\n"
                     "mesh: {dataplane: sidecar, mtls: {}}\n")  # fmt: skip
    ports = dict.fromkeys(("following", "pages", "authority"), 0)
    told = {"journal": str(tmp_path / "j"), "ports": ports, "tokens": {}, "inclusive": True}
    control = {**told, "again": False, "secret": "s"}
    role = ControlPlane(
        Spec("control_plane", "the mesh", scenario, 1, "0.0.0.0", False, None, control=control)
    )
    said = await role.listen()
    assert said["host"] == "127.0.0.1"
    role.start(0.0)
    await asyncio.sleep(0.01)
    for listening in (role.authority.listening, role.following, role.pages):
        assert [each.getsockname()[0] for each in listening.server.sockets] == ["127.0.0.1"]
    role.close()


@live
async def test_a_client_speaks_to_nobody_else():
    async with authority(loop()) as at:
        client = at.client()
        client._tls = type(client._tls)(AuthorityTls(time.time()).root)
        with pytest.raises(AnswerError, match="not the authority"):
            await client.roots()
        client.address = ("127.0.0.1", 1)
        with pytest.raises(AnswerError, match="unreachable"):
            await client.roots()


@live
async def test_roots_are_rotated_and_dropped():
    async with authority(loop()) as at:
        wisher, client = Wisher(at.token()), at.client()
        first = read_answer(await wisher.ask(client), wisher.key, "cart")
        at.signer.rotate(1)
        wisher = wisher.next()
        second = read_answer(await wisher.ask(client, 2), wisher.key, "cart", first.roots, first.certificate)
        assert (second.root, list(second.roots)) == (1, [0, 1])
        at.signer.drop_before(1)
        wisher = wisher.next()
        third = read_answer(await wisher.ask(client, 3), wisher.key, "cart", second.roots)
        assert list(third.roots) == [1]
        assert pem(third.roots[1]).decode() in json.loads(await client.roots())["roots"]


@live
async def test_while_a_use_can_not_be_written_down_the_token_is_unused():
    async with authority(loop()) as at:
        token, client, full = at.token(), at.client(), [True]

        def keep(fact):
            if full[0]:
                raise MeshsimError("no room")

        at.signer._keep = keep
        with pytest.raises(AnswerError, match="down"):
            await Wisher(token).ask(client)
        assert at.server.refusals == {"unwritten": 1}
        full[0] = False
        wisher = Wisher(token)
        assert read_answer(await wisher.ask(client), wisher.key, "cart").root == 0


def test_a_token_is_known_by_its_hash_alone():
    assert hashed(new_token()) != hashed(new_token())
    assert len(new_token()) >= 43
