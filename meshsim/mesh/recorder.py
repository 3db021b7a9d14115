"""Who records what happens.

Policies and the objects of the mesh expose what they do; only a recorder keeps it. Whoever reports passes on
what it knows anyway, so that a recorder which only counts needs no memory of requests under way, while one
that keeps rows finds its row by the number that it gave out when the row began.
"""

from __future__ import annotations


class Recorder:
    """Keeps nothing but ejections, which are few.

    Attributes:
        ejections: (time, edge, replica) of each ejection by outlier detection.
    """

    ejections: list[tuple[float, int, int]]

    def __init__(self) -> None:
        self.ejections = []

    def request(self, load: int, now: float) -> int:
        """A request begins; its number."""
        return -1

    def request_ended(
        self, row: int, load: int, start: float, status: int, flags: int, attempts: int, host: int, now: float
    ) -> None:
        """A request has its answer, made by replica `host` (-1: a proxy), after so many sent attempts."""

    def call(self, route: int, request_start: float, extra: bool, now: float) -> int:
        """A call begins; its number."""
        return -1

    def call_ended(
        self, row: int, route: int, request_start: float, start: float, status: int, flags: int, host: int,
        now: float,
    ) -> None:  # fmt: skip
        """A call has its answer, by replica `host` (-1: a proxy); status -1: it was cancelled."""

    def attempt(
        self, route: int, replica: int, kind: int, extra: bool, request_start: float, now: float
    ) -> int:
        """An attempt is sent; its number."""
        return -1

    def attempt_at_replica(
        self, row: int, place: int, kind: int, extra: bool, request_start: float, now: float
    ) -> None:
        """An attempt has reached the replica's side of the link."""

    def attempt_answer(
        self, row: int, place: int, request_start: float, arrived: float, status: int, now: float
    ) -> None:
        """The replica's side answers an attempt; -1 if the work is dropped or the answer thrown away."""

    def attempt_over(self, row: int, now: float) -> None:
        """An attempt is over for its caller."""

    def connection(self, edge: int, what: int, now: float) -> None:
        """A tracked connection of a proxy of this edge has opened or ended (`meshsim.mesh.connection`)."""

    def certificate(self, proxy: int, what: int, now: float) -> None:
        """A proxy has a new certificate, or none any more, or was refused (`meshsim.mesh.certificate`)."""

    def ejected(self, now: float, edge: int, replica: int) -> None:
        """Outlier detection of a proxy of this edge has ejected a replica."""
        self.ejections.append((now, edge, replica))
