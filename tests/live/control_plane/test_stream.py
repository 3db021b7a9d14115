"""A proxy's end of the stream, with a control plane that is broken, or hostile."""

import asyncio
import contextlib
import json

import pytest

from meshsim.live.control import lines
from meshsim.live.control.client import STALE, Follower
from meshsim.live.control.messages import Endpoint, MessageError, Update
from meshsim.live.referral import Referral
from meshsim.live.troubles import troubles
from tests.live.proxy.ends import HOST, settle
from tests.live.proxy.rig import live

GOOD = Update(1, 0, "n1", {}, frozenset(), {"db": [Endpoint(0, "db/0", "", ("127.0.0.1", 80))]})


class Plane:
    """Says what a test wants, byte by byte; `heard` is what proxies say."""

    def __init__(self):
        self.heard = []
        self.writers = []

    async def open(self, port=0):
        self.server = await asyncio.start_server(self.serve, HOST, port)
        return self.server.sockets[0].getsockname()

    async def serve(self, reader, writer):
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                self.heard.append(json.loads(line))
        writer.close()

    def say(self, data):
        self.writers[-1].write(data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n")

    async def close(self):
        self.server.close()
        for writer in self.writers:
            writer.close()


class Rig:
    """A follower of a control plane, and what it has applied."""

    def __init__(self):
        self.plane = Plane()
        self.applied = []

    def apply(self, update):
        if update.config.get("bad"):
            raise MessageError("a policy that nobody understands")
        self.applied.append(update)
        return update.version, update.config.get("refused", "")

    async def __aenter__(self):
        address = await self.plane.open()
        self.follower = Follower(Referral(address, "", "secret"), "cart/0", 0, self.apply, 7)
        self.follower.start()
        await settle(lambda: self.plane.heard, "it says hello")
        return self

    async def __aexit__(self, *_):
        self.follower.close()
        await self.plane.close()
        await asyncio.sleep(0.01)

    async def answer(self, update):
        """What it says to an update."""
        told = len(self.plane.heard)
        self.plane.say(update)
        await settle(lambda: len(self.plane.heard) > told, "it answers")
        return self.plane.heard[-1]


@live
async def test_a_proxy_says_who_it_is_and_acks_what_it_has_applied():
    async with Rig() as rig:
        assert rig.plane.heard == [{"hello": {"proxy": "cart/0", "token": "secret", "version": 0}}]
        assert await rig.answer(GOOD.message()) == {"ack": "n1", "version": 1}
        assert rig.applied == [GOOD]
        assert rig.follower.report()["version"] == 1


BROKEN = {
    "version": [None, "1", -1, 1.0, True, 1 << 40],
    "part": [None, 3, "0"],
    "config": [None, [], "x", {"bad": 1}],
    "nacked": [None, "cart", [1]],
    "endpoints": [
        None, [], {"db": None}, {"db": [None]}, {"db": [{}]},
        {"db": [{"number": 0, "name": "db/0", "version": "", "host": "example.org", "port": 80}]},
        {"db": [{"number": 0, "name": "db/0", "version": "", "host": "127.0.0.1", "port": 0}]},
        {"db": [{"number": 0, "name": ["db/0"], "version": "", "host": "127.0.0.1", "port": 1}]},
        {"db": 2 * [{"number": 0, "name": "db/0", "version": "", "host": "127.0.0.1", "port": 1}]},
    ],
}  # fmt: skip


@live
async def test_what_is_not_valid_is_nacked_whole_and_the_stream_goes_on():
    async with Rig() as rig:
        await rig.answer(GOOD.message())
        cases = [(field, value) for field, values in BROKEN.items() for value in values]
        for number, (field, value) in enumerate(cases):
            bad = {**GOOD.message(), "version": 2, "nonce": f"bad {number}", field: value}
            said = await rig.answer(bad)
            assert said["nack"] == f"bad {number}", (field, value)
            assert said["version"] == 1
            assert said["error"]
        assert rig.applied == [GOOD]
        assert rig.follower.counts["nacked"] == len(cases)
        said = await rig.answer({**GOOD.message(), "version": 2, "nonce": "n2"})
        assert said == {"ack": "n2", "version": 2}


@live
async def test_an_old_version_is_refused_and_the_same_one_again_is_not():
    async with Rig() as rig:
        await rig.answer({**GOOD.message(), "version": 5})
        assert await rig.answer({**GOOD.message(), "version": 4}) == {
            "nack": "n1",
            "version": 5,
            "error": STALE,
        }
        assert await rig.answer({**GOOD.message(), "version": 5}) == {"ack": "n1", "version": 5}
        assert [each.version for each in rig.applied] == [5, 5]


@live
async def test_what_the_scenario_has_it_refuse_is_nacked_though_endpoints_are_taken():
    async with Rig() as rig:
        said = await rig.answer({**GOOD.message(), "config": {"refused": "not this"}})
        assert said == {"nack": "n1", "version": 1, "error": "not this"}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"\x16\x03\x01\x02\x00garbage\n", "no JSON"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "no JSON"),
        (b"[1, 2]\n", "no JSON object"),
        (b"[" * 60_000 + b"\n", "no JSON"),
        (b'{"version": 1, "x": NaN, "nonce": 7}\n', "nonce"),
        (b'{"version": 1}\n', "nonce"),
        (b'{"version": 1, "nonce": "' + b"x" * 70_000 + b'"}\n', "too large"),
        (b'{"version": ' + b"1" * 70_000, "too large"),
        (b'{"version": 1, "nonce": "n1", "conf', "stopped in the middle"),
    ],
)
def test_garbage_ends_the_stream_and_the_proxy_finds_a_better_one(said, why, monkeypatch):
    monkeypatch.setattr(lines.Lines.__init__, "__defaults__", (65_536,))
    monkeypatch.setattr(lines, "PARTIAL_LIMIT", 0.1)

    @live
    async def talk():
        async with Rig() as rig:
            await rig.answer(GOOD.message())
            hellos = len(rig.plane.heard)
            rig.plane.say(said)
            await settle(lambda: len(rig.plane.heard) > hellos, "it is back")
            assert rig.plane.heard[-1]["hello"]["version"] == 1
            assert why in rig.follower.error
            assert rig.applied == [GOOD]
            assert (await rig.answer({**GOOD.message(), "version": 2}))["ack"] == "n1"

    talk()
    assert any(why in each for each in troubles)


@live
async def test_half_a_message_is_nothing():
    async with Rig() as rig:
        whole = json.dumps(GOOD.message()).encode() + b"\n"
        for at in range(1, len(whole), 7):
            applied, hellos = len(rig.applied), len(rig.plane.heard)
            rig.plane.say(whole[:at])
            await asyncio.sleep(0)
            rig.plane.writers[-1].close()
            await settle(lambda: len(rig.plane.heard) > hellos, "it is back")  # noqa: B023
            assert len(rig.applied) == applied
            if at > 60:
                break
        for at in range(1, len(whole), 41):
            rig.plane.say(whole[:at])
            await asyncio.sleep(0.002)
            assert (await rig.answer(whole[at:]))["ack"] == "n1"


@live
async def test_it_finds_a_control_plane_that_comes_back():
    async with Rig() as rig:
        port = rig.plane.server.sockets[0].getsockname()[1]
        await rig.plane.close()
        await settle(lambda: not rig.follower.report()["connected"], "it notices")
        await asyncio.sleep(0.2)
        again = Plane()
        await again.open(port)
        await settle(lambda: again.heard, "it is found")
        rig.follower.close()
        await again.close()
