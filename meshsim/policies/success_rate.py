"""Success rates: a host that fails more often than its neighbours is an outlier, without failing in a row.

Over each interval a caller counts the requests of each host and their failures. At its end the hosts that
had enough requests are compared, if they are enough: who lies more than `factor` standard deviations below
their mean is an outlier. Failure modes: it takes a whole interval; one of n hosts can lie at most
sqrt(n - 1) deviations below, so few hosts need a small factor; and of hosts that are almost alike the worst
may be an outlier still, although it fails hardly more often.

Source: Envoy, outlier_detection_impl.cc (source/common/upstream), successRateEjectionThreshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import final

from meshsim.policies.endpoint import Endpoint


@final
class SuccessRate:
    """The comparison of hosts by their success rates.

    Attributes:
        hosts: so many must have had enough requests.
        requests: what is enough, in an interval.
        factor: how far below the mean, in population standard deviations, an outlier lies.
    """

    def __init__(self, hosts: int, requests: int, factor: float) -> None:
        self.hosts = hosts
        self.requests = requests
        self.factor = factor

    def outliers(self, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        """Those that lie too low, in order. A tie, up to 1e-9, is none."""
        judged = [host for host in endpoints if not host.ejected and host.asked >= self.requests]
        if len(judged) < self.hosts:
            return []
        total = 0.0
        for host in judged:
            total += host.failed / host.asked
        mean = total / len(judged)
        squares = 0.0
        for host in judged:
            distance = host.failed / host.asked - mean
            squares += distance * distance
        worst = mean + self.factor * sqrt(squares / len(judged)) + 1e-9
        return [host for host in judged if host.failed / host.asked > worst]
