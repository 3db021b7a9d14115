"""How long certificates last, and when they are renewed.

A stolen certificate is of use until it expires, so meshes make them short-lived. Then somebody must sign all
the time. Failure modes: the signer is away for longer than what is left at renewal, and all certificates
expire, which nobody notices before connections are opened anew; proxies that were started together renew
together.

Source:
    Istio, `security/pkg/nodeagent/cache/secretcache.go` (renewal at a share of the life, with jitter).
"""

from __future__ import annotations

from typing import final

from meshsim.policies.backoff import Backoff


@final
class Renewal:
    """The life of certificates.

    Attributes:
        ttl: how long one is valid, s.
        rotate_at: the share of it after which it is renewed.
        jitter: the share by which that may be earlier or later.
        backoff: how long a proxy that was refused waits.
    """

    def __init__(self, ttl: float, rotate_at: float, jitter: float, backoff: Backoff) -> None:
        self.ttl = ttl
        self.rotate_at = rotate_at
        self.jitter = jitter
        self.backoff = backoff

    def begins(self, signed: float, u: float) -> float:
        """When the renewal of a certificate begins, s, for a uniform u on [0, 1)."""
        wait = self.ttl * (self.rotate_at + self.jitter * (2.0 * u - 1.0))
        return signed + wait if wait > 0.0 else signed

    def expires(self, signed: float) -> float:
        """When a certificate is not valid any more, s."""
        return signed + self.ttl
