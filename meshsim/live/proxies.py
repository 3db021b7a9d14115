"""The proxies of a live mesh, of either kind: the one place where they are started.

Ours are members like services and the load generator; they apply the scenario's events themselves. A real
Envoy is a program that is given files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from meshsim.live import Address, Message
from meshsim.live.processes import Member, Process, Rows
from meshsim.live.referral import Referral
from meshsim.scenario.topology import Topology

Heard = Mapping[Process, Message]
"""What each member has said in a phase."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where a proxy listens: `inbound` for callers of its replica, `outbound` as its own application's proxy.

    `urls` has one more for each upstream service: whatever comes there goes to that.
    """

    inbound: Address | None
    outbound: Address
    admin: Address
    urls: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ports:
    """Those of a proxy's listeners, as it reports them; see `Listeners`."""

    inbound: int | None
    outbound: int
    admin: int
    urls: dict[str, int]

    def on(self, host: str) -> Listeners:
        """The listeners on these ports of a host."""
        inbound = None if self.inbound is None else (host, self.inbound)
        urls = {service: url(host, port) for service, port in self.urls.items()}
        return Listeners(inbound, (host, self.outbound), (host, self.admin), urls)


class Proxies(ABC):
    """One proxy for each replica and the client; `troubles`, once ended, are of those that are no members.

    `enrolments` say, by proxy, how to ask for a certificate: from `connect` on, where there are identities.
    """

    def __init__(self) -> None:
        self.troubles: dict[str, dict[str, int]] = {}
        self.enrolments: Mapping[str, Referral] = {}

    @abstractmethod
    def begin(self) -> Sequence[Member]:
        """Starts what can be started before anything is known; returns who will say that it listens."""

    def enrol(self, enrolments: Mapping[str, Referral]) -> None:  # noqa: B027 - ours learn it as members
        """Tells proxies that are no members how to ask for certificates, by id; waits for the first ones."""

    @abstractmethod
    def open(self, heard: Heard) -> dict[str, Listeners]:
        """Where each proxy listens, by id; returns when they do."""

    def connect(self, apps: Mapping[str, Address], replicas: Mapping[str, Address]) -> None:  # noqa: B027
        """Tells proxies that are no members where applications and replicas are, by id; waits for them."""

    def follow(self, following: Callable[[str], Referral]) -> None:  # noqa: B027 - ours learn it as members
        """Tells proxies that are no members how to find the control plane, by id."""

    @abstractmethod
    def add(self, id_: str) -> Member:
        """Starts the proxy of a replica that comes while the mesh runs."""

    @abstractmethod
    def opened(self, id_: str, said: Message) -> Listeners:
        """Where a proxy listens that was added, by what it says of that."""

    def remove(self, id_: str) -> None:  # noqa: B027 - members are told
        """Ends a proxy that is no member, with all it holds: its replica has gone for good."""

    def quiet(self, id_: str) -> bool:
        """Whether a proxy that sends no stats holds no request for its replica."""
        return True

    def start(self, base: float) -> None:  # noqa: B027 - ours learn it as members
        """Scenario time 0 is at `base` of the monotonic clock, s."""

    def tick(self, now: float) -> None:  # noqa: B027 - most have nothing to do
        """Is called about every 10 ms while the mesh runs, at scenario time `now`, s."""

    def snapshot(self) -> dict[str, Message]:
        """What proxies that are no members count by now, by id, as a member's `stats`."""
        return {}

    def finish(self) -> None:  # noqa: B027 - members are told
        """The run is over: proxies that are no members ask the authority for nothing any more."""

    def collect(self, base: float) -> Mapping[str, Rows]:
        """Ends proxies that are no members; what each has recorded, by id. `base` is as of `start`."""
        return {}

    def close(self) -> None:  # noqa: B027 - members end with the keeper
        """Ends proxies that are no members, whatever has happened."""


class MeshsimProxies(Proxies):
    """Our own."""

    def __init__(self, topology: Topology, host: str, fork: Callable[[str, str], Member]) -> None:
        super().__init__()
        self._host = host
        self._fork = fork
        present = (proxy for proxy in topology.proxies if not any(each.added for each in proxy.replicas))
        self._ids = [proxy.name for proxy in present]
        self._members: dict[str, Member] = {}

    def begin(self) -> Sequence[Member]:
        self._members = {id_: self._fork("proxy", id_) for id_ in self._ids}
        return list(self._members.values())

    def open(self, heard: Heard) -> dict[str, Listeners]:
        return {id_: self.opened(id_, heard[member]) for id_, member in self._members.items()}

    def add(self, id_: str) -> Member:
        return self._fork("proxy", id_)

    def opened(self, id_: str, said: Message) -> Listeners:
        return Ports(**said).on(self._host)


def url(host: str, port: int) -> str:
    """The URL of a listener."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
