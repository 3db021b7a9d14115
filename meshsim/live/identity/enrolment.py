"""What the launcher hands out so that proxies can ask for certificates."""

from __future__ import annotations

from dataclasses import dataclass

from meshsim.live.referral import Referral


@dataclass(frozen=True, slots=True)
class Enrolment(Referral):
    """Where the authority is, and a token that counts once."""
