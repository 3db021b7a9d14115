"""What all exchanges of a listener share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshsim.live.clock import LiveClock
from meshsim.live.proxy.access import AccessLog
from meshsim.live.proxy.ledger import Ledger

if TYPE_CHECKING:
    from meshsim.live.proxy.pairing import Pairing


class ExchangeContext:
    """What the exchanges of one listener are timed by, and written down in.

    Attributes:
        clock: the process's.
        log: the access log; None for none.
        ledger: where rows are kept; None for nowhere.
        pairing: of the proxy's own replica, if that is a program; else None.
    """

    def __init__(
        self, clock: LiveClock, log: AccessLog | None, ledger: Ledger | None, pairing: Pairing | None
    ) -> None:
        self.clock = clock
        self.log = log
        self.ledger = ledger
        self.pairing = pairing
