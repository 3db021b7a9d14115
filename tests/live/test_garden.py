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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
Party = Callable[[Path, Recorder, int], AbstractContextManager[int]]
"""Starts a party that passes on to a recorder on a port; where it listens."""
Readings = dict[int, list[Read]]


async def send(port: int, data: bytes, quiet: float) -> None:
    """Sends bytes, and waits until no more answers come."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(data)
            async with asyncio.timeout(20.0 * quiet):
                while await asyncio.wait_for(reader.read(65536), quiet):
                    pass
        except TimeoutError:
            pass
        finally:
            writer.close()


async def tended(some: list[Vector], folder: Path, party: Party, quiet: float = QUIET) -> Readings:
    """What a party reads, by the numbers of the vectors."""
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, HOST, 0)
    limit = asyncio.Semaphore(AT_ONCE)
    folder.mkdir(parents=True)

    async def sow(vector: Vector, port: int) -> None:
        async with limit:
            await send(port, vector.data, quiet)

    async with server:
        loop = asyncio.get_running_loop()
        running = party(folder, recorder, server.sockets[0].getsockname()[1])
        port = await loop.run_in_executor(None, running.__enter__)
        try:
            await asyncio.gather(*(sow(vector, port) for vector in some))
            await asyncio.sleep(quiet)
        finally:
            await loop.run_in_executor(None, running.__exit__, None, None, None)
    return recorder.found


def alone(name: str) -> Party:
    """The party by itself."""
    if name == "node":
        return lambda folder, recorder, behind: parties.node(folder, recorder)
    start = parties.ours if name == OURS else PROXIES[name]
    return lambda folder, recorder, behind: start(folder, behind)


def behind_ours(name: str) -> Party:
    """Our proxy in front of the party."""

    @contextmanager
    def both(folder: Path, recorder: Recorder, behind: int) -> Iterator[int]:
        with alone(name)(folder, recorder, behind) as port, parties.ours(folder, port) as own:
            yield own

    return both


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

    What broke off is what was forwarded too: Varnish 7.1 takes a body that breaks off for a whole one.
    """
    one, other = (Counter(each[: len(PARTS)] for each in some) for some in (forwarded, read))
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
    began = time.monotonic()
    read = {name: asyncio.run(tended(everything, tmp_path / name, alone(name))) for name in (OURS, *names)}
    wrong = []
    for name in names:
        found = asyncio.run(tended(everything, tmp_path / f"ours-{name}", behind_ours(name)))
        suspects = [
            each for each in everything if more(read[OURS].get(each.number, []), found.get(each.number, []))
        ]
        for vector in suspects:  # once more, slowly: an answer may have come too late on a busy machine
            place = tmp_path / f"again-{name}-{vector.number}"
            forwarded = asyncio.run(tended([vector], place / OURS, alone(OURS), 3.0))[vector.number]
            again = asyncio.run(tended([vector], place / name, behind_ours(name), 3.0))[vector.number]
            if more(forwarded, again):
                wrong.append((name, vector, forwarded, again))
    with capsys.disabled():
        absent = ", ".join(name for name in PARTIES if name not in names) or "nobody"
        print(f"\n{table(read, len(everything))}\nnot installed: {absent}; {time.monotonic() - began:.0f} s")
    assert not wrong
    assert not any(each.method == b"malformed" for some in read[OURS].values() for each in some)
    assert -1 not in read[OURS]
