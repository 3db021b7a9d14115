"""A mesh put together: who is in it, and whether there is anything left for it to do."""

from __future__ import annotations

from typing import final

from meshsim.mesh.certificate import Authority
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.link import Link
from meshsim.mesh.load import Client, Source
from meshsim.mesh.network import Network
from meshsim.mesh.proxy import Proxy
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.replica import Replica
from meshsim.mesh.spans import Tracer


@final
class Mesh(Event):
    """Everything that a run simulates. As an event, it stops the clock when nothing is left to do.

    Attributes:
        replicas: by id, such as ``cart/v1/0``.
        links: by (caller, service).
        edges: (caller, service) by number.
        client: where requests come from.
        proxies: by number.
        present: how many of them are there at first.
        sources: what sends requests.
        network: the transport.
        authority: the CA; None without mTLS.
    """

    replicas: dict[str, Replica]
    links: dict[tuple[str, str], Link]
    edges: list[tuple[str, str]]
    proxies: list[Proxy]
    sources: list[Source]
    authority: Authority | None

    def __init__(
        self, clock: Clock, recorder: Recorder, tracer: Tracer, network: Network, client: Client
    ) -> None:
        self.clock = clock
        self.recorder = recorder
        self.tracer = tracer
        self.network = network
        self.client = client
        self.replicas = {}
        self.links = {}
        self.edges = []
        self.proxies = []
        self.present = 0
        self.sources = []
        self.authority = None
        network.watch = self
        client.watch = self

    def begin(self) -> None:
        """Lets all certificates and loads begin."""
        for proxy in self.proxies:
            if proxy.agent is not None and proxy.number < self.present:
                proxy.agent.begin(0.0)
        for source in self.sources:
            source.begin()

    @property
    def settled(self) -> bool:
        """Whether no request, and no work for one, is left or to come."""
        return self.client.sources == 0 and self.client.unfinished == 0 and self.network.visits == 0

    def fire(self, step: int, now: float) -> None:
        """Looks whether anything is left; in an event of its own, since whoever asks is still at work."""
        if self.settled:
            if step == 0:
                self.clock.at(now, self, 1)
            else:
                self.clock.stop()
