"""A control plane whose journal was damaged, and proxies that know more than it does."""

import json
import urllib.error
import urllib.request

import pytest

from meshsim.lab import steer
from meshsim.live.control import server
from meshsim.live.control.process import JOURNAL
from meshsim.live.troubles import troubles
from tests.live.control_plane.test_followed import Plane, follow, hello, rest
from tests.live.control_plane.test_mesh_control import scenario, serving
from tests.live.processes import signal_control_plane
from tests.live.proxy.ends import settle
from tests.live.proxy.rig import live


@pytest.fixture(autouse=True)
def _no_troubles():
    yield
    troubles.clear()


@live
async def test_it_goes_on_behind_the_version_that_a_proxy_has(tmp_path):
    async with Plane(tmp_path) as plane:
        made = []

        def behind(version):
            made.append(version)
            plane.memory.catch_up(plane.plane, version, plane.clock.now())
            plane.plane.push(plane.clock.now())

        plane.streams.behind = behind
        reader, writer = await follow(plane.address, hello(version=7))
        update = json.loads(await reader.readline())
        assert (made, update["version"], plane.plane.version) == ([7], 8, 8)
        assert plane.follower.acked < 8, "only what is acked is"
        writer.write(json.dumps({"ack": update["nonce"], "version": 8}).encode() + b"\n")
        await settle(lambda: plane.follower.acked >= 8, "it is acked")
        assert len(plane.plane.pushes) == 9
        assert any("does not know" in each for each in troubles)
        writer.close()
    async with Plane(tmp_path) as again:
        assert again.plane.version == 8, "that is in the journal now"


@live
async def test_a_proxy_that_is_too_far_ahead_is_not_believed(tmp_path):
    async with Plane(tmp_path) as plane:
        reader, writer = await follow(plane.address, hello(version=server.FORGOTTEN + 1))
        assert await rest(reader) == b""
        assert (plane.plane.version, plane.streams.refused) == (0, {server.NOT_MADE: 1})
        writer.close()


def test_a_mesh_can_be_changed_after_its_journal_was_lost():
    with serving(scenario(duration="60s", name="damaged")) as mesh:
        for number in range(4):
            steer.set_live({"policies.cart.timeout": f"{number + 1}s"}, mesh="damaged")
        journal = mesh.keeper.folder / JOURNAL
        journal.write_bytes(journal.read_bytes()[:40])
        signal_control_plane(mesh)
        done = steer.set_live({"policies.cart.timeout": "1ms"}, mesh="damaged")
        assert (done.missing, done.proxies) == ({}, 4)
        assert done.version > 4
        with pytest.raises(urllib.error.HTTPError, match="500"):  # cart takes 12 ms
            urllib.request.urlopen(mesh.listeners["client/0"].urls["front"], timeout=60)
