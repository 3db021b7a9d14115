"""What a run leaves behind: `Records` (rows) or `Histograms`; reports read either through this class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from meshsim.measure.flow import BinnedFlow
from meshsim.measure.grid import Floats, Grid, Window
from meshsim.measure.sample import Sample
from meshsim.measure.table import Table
from meshsim.mesh.control_plane import Push

__all__ = ["Measurements", "Push"]


@dataclass(slots=True, kw_only=True)
class Measurements(ABC):
    """A whole run.

    Attributes:
        end: time of the last event, or where the run was cut off, s.
        complete: False if the run was interrupted or reached the drain's limit with work left.
        grid: the bins of `busy` and `queued`.
        edges: (caller, service) by index.
        replicas: (service, version, id such as ``cart/v1/0``) by index.
        endpoints: of each service that has any, their names by number; the first, ``""``, is itself.
        busy: (replicas, bins): worker-seconds in service or held.
        queued: (replicas, bins): attempt-seconds in the waiting room.
        ejections: (time, edge index, replica index) of each ejection by outlier detection.
        connections: (time, edge index, what) of each opening and end of a connection, where connections are
            tracked: `what` is a field of `meshsim.measure.parts.ConnectionSummary`.
        certificates: (time, proxy number, what) of each certificate that was signed, refused or expired:
            `what` is a field of `meshsim.measure.parts.CertificateSummary`; None where there are none.
        pushes: what became of each push of the control plane, in order.
        lives: (replica index, from, to) of each that was there, s, where replicas come and go; else empty.
        spans: the columns of sampled spans (see `meshsim.measure.spans`); empty where there can be none.
        interrupted: whether the user ended it (Ctrl-C); it is then measured up to where it came.
        events: that an engine fired; 0 for the reference model.
    """

    engine: str
    seed: int
    end: float
    complete: bool
    grid: Grid
    edges: list[tuple[str, str]]
    replicas: list[tuple[str, str, str]]
    endpoints: dict[str, list[str]] = field(default_factory=dict)
    busy: Floats
    queued: Floats
    ejections: list[tuple[float, int, int]] = field(default_factory=list)
    connections: list[tuple[float, int, str]] = field(default_factory=list)
    certificates: list[tuple[float, int, str]] | None = None
    pushes: list[Push] = field(default_factory=list)
    lives: list[tuple[int, float, float]] = field(default_factory=list)
    spans: Table = field(default_factory=dict)
    interrupted: bool = False
    events: int = 0

    @abstractmethod
    def sample(self, window: Window) -> Sample:
        """What is measured."""

    @abstractmethod
    def flows(self, edges: Floats) -> Iterator[BinnedFlow]:
        """What passes in bins between `edges`, s: the client, each service, each edge; the last has the rest.

        At the client these are its requests and all attempts, at a service the attempts that arrive. Each of
        the three is made when it is taken: of many rows they are large.
        """

    @abstractmethod
    def in_flight(self, window: Window) -> Floats:
        """(4,) mean numbers of the client's requests in flight, in the quarters of a window."""

    @abstractmethod
    def requested(self, window: Window) -> int:
        """How many requests the client sent within a window."""

    @abstractmethod
    def visited(self, service: str, window: Window) -> tuple[int, int]:
        """How many attempts arrived at a service, and how many ended there, within a window, by the clock."""

    def present(self, edges: Floats) -> Floats:
        """(replicas, bins) how long each replica was there, of each bin between `edges`, s."""
        if not self.lives:
            return np.broadcast_to(np.diff(edges), (len(self.replicas), len(edges) - 1))
        found = np.zeros((len(self.replicas), len(edges) - 1))
        for replica, since, until in self.lives:
            found[replica] = np.diff(np.clip(edges, since, max(since, until)))
        return found

    @property
    def service_names(self) -> list[str]:
        """In order of the scenario."""
        return list(dict.fromkeys(service for service, _, _ in self.replicas))

    def members(self, service: str) -> list[int]:
        """The indices of a service's replicas."""
        return [index for index, (name, _, _) in enumerate(self.replicas) if name == service]
