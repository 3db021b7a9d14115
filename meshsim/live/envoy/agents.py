"""The agents of a mesh's Envoys: they follow the control plane, get certificates, and hand both on as files.

An Envoy can't ask by itself, so each has an agent, as Istio's sidecars do. Those of a run share a thread
beside the launcher, with scenario time of its own. They are what meshsim's own proxies have
(`identity.proxy`, `control.client`); only what becomes of a certificate, and of an update, differs.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import TimeoutError as LateError
from functools import partial
from pathlib import Path

from meshsim.errors import MeshsimError
from meshsim.live.clock import LiveClock
from meshsim.live.control.client import Follower
from meshsim.live.control.lines import Lines
from meshsim.live.control.messages import Update
from meshsim.live.envoy.process import replace_text
from meshsim.live.envoy.tls import documents
from meshsim.live.identity.answers import AnswerError
from meshsim.live.identity.proxy import ProxyIdentity
from meshsim.live.loops import new_loop
from meshsim.live.referral import Referral
from meshsim.live.tls.context import Credentials, Tls
from meshsim.live.troubles import watch
from meshsim.mesh.proxy import proxy_key
from meshsim.random import PUSHES, derive
from meshsim.scenario.model import Scenario
from meshsim.scenario.names import file_name
from meshsim.scenario.topology import Proxy

PATIENCE = 30.0
"""How long the first certificates, or an answer of the thread, may take, s."""


class SecretFiles(Tls):
    """Where an Envoy in a `folder` finds what it shows, and whom it trusts: new credentials are new files."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._versions = 0
        self._written: dict[str, str] = {}

    def renew(self, credentials: Credentials) -> None:
        """Writes what has changed, each file whole or not at all; an AnswerError where that fails."""
        for name, text in documents(credentials).items():
            if self._written.get(name) != text:
                self._versions += 1
                try:
                    replace_text(self.folder / name, text.replace('"?"', f'"{self._versions}"', 1))
                except OSError as error:
                    raise AnswerError("unwritable", f"{name}: {error.strerror}") from None
                self._written[name] = text


class EnvoyFollower(Follower):
    """Follows the control plane for an Envoy; an update goes to an inbox, and is answered when it has it."""

    inbox: deque[tuple[EnvoyFollower, Lines, Update]]

    def take(self, stream: Lines, update: Update) -> None:
        self.inbox.append((self, stream, update))


def _applied_elsewhere(update: Update) -> tuple[int, str]:
    raise AssertionError("an Envoy takes what it is given in its own time")


class Agents:
    """One for each proxy; all is done in the thread, but for what `restarted` and `inbox` say.

    Attributes:
        identities: by id of the proxy, once they are enrolled, of those that have one.
        followers: of the control plane, by id.
        inbox: updates that have come, in order.
        restarted: ids of proxies whose replicas have come up again, and have their certificates.
    """

    _loop: asyncio.AbstractEventLoop
    _clock: LiveClock

    def __init__(self, scenario: Scenario, seed: int, folder: Path) -> None:
        self.scenario = scenario
        self.seed = seed
        self.identities: dict[str, ProxyIdentity] = {}
        self.restarted: deque[str] = deque()
        self.followers: dict[str, EnvoyFollower] = {}
        self.inbox: deque[tuple[EnvoyFollower, Lines, Update]] = deque()
        self._folder = folder
        self._joining: dict[str, asyncio.Task[None]] = {}
        self._numbers: dict[str, int] = {}
        self._thread = threading.Thread(target=self._live, name="agents", daemon=True)

    def begin(self) -> None:
        """Starts the thread."""
        self._loop = new_loop()
        self._clock = LiveClock(self._loop, ideal=False)
        self._thread.start()

    def enrol(self, proxies: Iterable[Proxy], enrolments: Mapping[str, Referral]) -> None:
        """Gets first certificates for all; returns when they are there. A MeshsimError if one is not."""
        work = asyncio.run_coroutine_threadsafe(self._enrol(list(proxies), enrolments), self._loop)
        try:
            work.result(PATIENCE)
        except AnswerError as error:
            raise MeshsimError(f"an Envoy gets no certificate: {error}") from None
        except LateError:
            raise MeshsimError(f"Envoys have no certificates after {PATIENCE:g} s") from None
        except OSError as error:
            raise MeshsimError(f"no place for an Envoy's certificate: {error.strerror}") from None

    async def _enrol(self, proxies: list[Proxy], enrolments: Mapping[str, Referral]) -> None:
        for proxy in proxies:
            self._identify(proxy, enrolments[proxy.name])
        await asyncio.gather(*(each.enrol() for each in self.identities.values()))

    def _identify(self, proxy: Proxy, enrolment: Referral) -> ProxyIdentity:
        files = SecretFiles(self._folder / file_name(proxy.name))
        files.folder.mkdir(parents=True, exist_ok=True)
        (name,) = proxy.callers
        self._numbers[proxy.name] = proxy.number
        found = self.identities[proxy.name] = ProxyIdentity(self._clock, files, name, enrolment)
        return found

    def join(self, proxy: Proxy, enrolment: Referral) -> None:
        """A proxy comes while the mesh runs: it is in `restarted` when it has its first certificate."""

        async def join() -> None:
            identity = self._identify(proxy, enrolment)
            await identity.join(self.scenario, proxy_key(self.seed, proxy.number))
            self.restarted.append(proxy.name)

        def begin() -> None:
            self._joining[proxy.name] = self._loop.create_task(join())

        self._call(begin)

    def follow(self, proxy: Proxy, following: Referral, version: int) -> None:
        """A proxy that has this version, or none: -1, follows the control plane from now on."""
        key = derive(proxy_key(self.seed, proxy.number), PUSHES)
        follower = EnvoyFollower(following, proxy.name, version, _applied_elsewhere, key)
        follower.inbox = self.inbox
        self.followers[proxy.name] = follower
        self._call(follower.start)

    def answer(
        self, follower: EnvoyFollower, stream: Lines, update: Update, newest: int, refused: str
    ) -> None:
        """An Envoy has taken an update, or refused it."""
        self._call(partial(follower.answer, stream, update, newest, refused))

    def leave(self, id_: str) -> None:
        """A proxy has gone for good."""
        follower = self.followers.pop(id_, None)
        if follower is not None:
            self._call(follower.close)
        self._call(partial(self._leave, id_))

    def _leave(self, id_: str) -> None:
        if id_ in self._joining:
            self._joining.pop(id_).cancel()
        if id_ in self.identities:
            self.identities[id_].close()

    def start(self, base: float) -> None:
        """Scenario time 0 is at `base` of the monotonic clock, s."""
        self._call(partial(self._start, base))

    def _start(self, base: float) -> None:
        self._clock.begin(base)
        for id_, identity in self.identities.items():
            identity.start(self.scenario, proxy_key(self.seed, self._numbers[id_]))

    def take_down(self, id_: str) -> None:
        """The replica of a proxy is gone, and its certificate with it."""
        self._call(self.identities[id_].gone(lambda: None))

    def bring_up(self, id_: str) -> None:
        """The replica of a proxy would be up: it is in `restarted` when it has a certificate."""
        self._call(self.identities[id_].back(partial(self.restarted.append, id_)))

    def _call(self, what: Callable[[], object]) -> None:
        if self._thread.is_alive():  # else all has ended already
            self._loop.call_soon_threadsafe(what)

    def close(self) -> None:
        """Ends the thread, and all that it does."""
        if self._thread.is_alive():
            self._call(self._end)
            self._thread.join(PATIENCE)

    def _end(self) -> None:
        for identity in self.identities.values():
            identity.close()
        for follower in self.followers.values():
            follower.close()
        for task in self._joining.values():
            task.cancel()
        self._clock.close()
        self._loop.call_soon(self._loop.stop)

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        watch(self._loop)
        self._loop.run_forever()
        self._loop.close()
