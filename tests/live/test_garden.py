"""A differential garden: hundreds of byte strings, read by our proxy and by whatever may stand behind it.

Each is sent to every party alone, and to our proxy in front of each. Two parties that pass on other requests
than each other have read the same bytes differently; the table counts how often, and in what. What our proxy
forwards nobody may read as anything else than it was to us: not another number of requests, no other method,
path or body. Whoever refuses it has not read it differently.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import combinations
from pathlib import Path

import pytest

pytest.importorskip("uvloop")
from tests.live.garden import parties
from tests.live.garden.parties import HOST, PARTIES, PROXIES, Read, Recorder
from tests.live.garden.vectors import Vector, vectors

QUIET = 0.3
"""Without an answer for so long, none will come, s."""
AT_ONCE = 64

OURS = "ours"
PARTS = ("method", "path", "body")
Readings = dict[int, list[Read]]
"""By the number of the vector."""


async def send(port: int, data: bytes) -> None:
    """Sends bytes, and waits until no more answers come."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(data)
            async with asyncio.timeout(20.0 * QUIET):
                while await asyncio.wait_for(reader.read(65536), QUIET):
                    pass
        except TimeoutError:
            pass
        finally:
            writer.close()


def started(name: str, folder: Path, recorder: Recorder, behind: int) -> AbstractContextManager[int]:
    """A party that passes on to a recorder on a port; where it listens."""
    folder.mkdir()
    if name == OURS:
        return parties.ours(behind)
    return parties.node(folder, recorder) if name == "node" else PROXIES[name](folder, behind)


async def tended(
    some: list[Vector], name: str, folder: Path, *, behind_ours: bool = False
) -> tuple[Readings, Readings]:
    """What a party reads, and what our proxy, where it stands before the party, has forwarded to it."""
    recorder, between = Recorder(), Recorder()
    limit = asyncio.Semaphore(AT_ONCE)

    async def sow(vector: Vector, port: int) -> None:
        async with limit:
            await send(port, vector.data)

    with ExitStack() as running:
        async with await asyncio.start_server(recorder.serve, HOST, 0) as server:
            port = await entered(running, started(name, folder, recorder, port_of(server)))
            relay = await asyncio.start_server(partial(between.relay, port), HOST, 0)
            async with relay:
                if behind_ours:
                    port = await entered(running, parties.ours(port_of(relay)))
                await asyncio.gather(*(sow(vector, port) for vector in some))
                await asyncio.sleep(QUIET)
                await asyncio.to_thread(running.close)
    return recorder.found, between.found


async def entered(running: ExitStack, party: AbstractContextManager[int]) -> int:
    """Starts a party while the loop goes on: some of them ask at once whether anybody is there."""
    return await asyncio.to_thread(running.enter_context, party)


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def differ(one: list[Read], other: list[Read]) -> str:
    """In what two readings of the same bytes differ first; nothing where one refuses, or where they agree."""
    one, other = ([each for each in some if each.whole] for some in (one, other))
    if not one or not other or one == other:
        return ""
    if len(one) != len(other):
        return "number"
    return next(
        what
        for what in PARTS
        if [getattr(each, what) for each in one] != [getattr(each, what) for each in other]
    )


def more(forwarded: list[Read], read: list[Read]) -> bool:
    """Whether anything was read that was not forwarded.

    What broke off is what was forwarded too: Varnish 7.1 takes a body that breaks off for a whole one. And it
    leaves off the body of a GET, whose end it knows.
    """
    one, other = (
        Counter((each.method, each.path, each.body * (each.method != b"GET")) for each in some)
        for some in (forwarded, read)
    )
    return bool(other - one)


def table(read: dict[str, Readings], count: int) -> str:
    """How often two parties read the same bytes differently."""
    lines = [f"{count} byte strings; refused by: "]
    lines[0] += ", ".join(
        f"{name} {sum(not any(each.whole for each in of.get(n, [])) for n in range(count))}"
        for name, of in read.items()
    )
    lines.append(f"{'':24}" + "".join(f"{what:>10}" for what in ("number", *PARTS)))
    for one, other in combinations(read, 2):
        found = Counter(differ(read[one].get(n, []), read[other].get(n, [])) for n in range(count))
        numbers = "".join(f"{found[what]:>10}" for what in ("number", *PARTS))
        lines.append(f"{f'{one} - {other}':24}{numbers}")
    return "\n".join(lines)


@pytest.mark.long
def test_nobody_reads_what_we_forward_differently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything, names = vectors(), parties.installed()
    if not names:
        pytest.skip(f"none of {', '.join(PARTIES)} is installed")
    began = time.monotonic()
    read = {name: asyncio.run(tended(everything, name, tmp_path / name))[0] for name in (OURS, *names)}
    wrong = []
    for name in names:
        own, passed = asyncio.run(tended(everything, name, tmp_path / f"behind-{name}", behind_ours=True))
        for number in own:
            if more(passed.get(number, []), own[number]):
                wrong.append((name, everything[number], passed.get(number), own[number]))
        malformed = [each for some in passed.values() for each in some if each.method == b"malformed"]
        assert not malformed, "h11 reads all that we forward"
    with capsys.disabled():
        absent = ", ".join(name for name in PARTIES if name not in names) or "nobody"
        print(f"\n{table(read, len(everything))}\nnot installed: {absent}; {time.monotonic() - began:.0f} s")
    assert not wrong


def test_the_vectors_are_hundreds_and_each_is_known_by_its_number() -> None:
    everything = vectors()
    assert len({vector.data for vector in everything}) == len(everything) > 1000
    assert all(b"/v%d" % vector.number in vector.data for vector in everything)


def test_more_is_seen_and_less_is_none() -> None:
    one, two = Read(b"GET", b"/v1", b""), Read(b"GET", b"/v1/inner", b"")
    assert more([one], [one, two])
    assert more([one], [one, one])
    assert more([Read(b"POST", b"/v1", b"abc")], [Read(b"POST", b"/v1", b"")])
    assert not more([one, two], [one])
    assert not more([Read(b"POST", b"/v1", b"abc", whole=False)], [Read(b"POST", b"/v1", b"abc")])
