"""What one caller proxy knows about one host. Nothing of it is shared between proxies."""

from __future__ import annotations

from meshsim.random import Key


class Endpoint:
    """A host as a caller's proxy sees it.

    Attributes:
        name: the replica's id, such as ``cart/v1/0``.
        index: its place in the cluster, from 0.
        active: this proxy's requests in flight to it (not those waiting for a connection).
        pending: those waiting for a connection.
        consecutive, gateway: its 5xx, and its gateway failures, in a row, as outlier detection counts them.
        multiplier: by how much its next ejection is longer; by how often in a row it was shut.
        ejected: whether it is out.
        returns: when its ejection has lasted long enough, s.
        fresh: of the tick that let it back and the next, how many are to come.
        gate: what it does with requests, under failure accrual.
        probe: key of the attempt by which it is judged then.
        asked, failed: its requests of this interval, and how many failed, if success rates are compared.
    """

    probe: Key

    def __init__(self, name: str, index: int) -> None:
        self.name = name
        self.index = index
        self.active = 0
        self.pending = 0
        self.consecutive = 0
        self.gateway = 0
        self.multiplier = 0
        self.ejected = False
        self.returns = 0.0
        self.fresh = 0
        self.gate = 0
        self.probe = 0
        self.asked = 0
        self.failed = 0

    def forgive(self) -> None:
        """Lets the host back and forgets what it did."""
        self.consecutive = 0
        self.gateway = 0
        self.multiplier = 0
        self.ejected = False
        self.fresh = 0
        self.gate = 0
