"""All that a proxy's page of metrics has: requests, clusters, TLS, certificates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from meshsim.live.proxy.series import Series, request_metrics
from meshsim.live.stats import EdgeCounts
from meshsim.measure import istio
from meshsim.measure.exposition import Metric
from meshsim.mesh.certificate import CERTIFICATE_EVENTS

if TYPE_CHECKING:
    from meshsim.live.tls.context import Tls


def proxy_metrics(
    series: Iterable[Series], clusters: Mapping[str, EdgeCounts], tls: Tls | None, certificates: Iterable[int]
) -> list[Metric]:
    """The metrics of one proxy: its routes' `series`, and what it counts of its `clusters`, by service.

    `tls` is None without mTLS; `certificates` are what became of each, as `meshsim.mesh.certificate` has it.
    """
    found = istio.cluster_metrics()
    for service, counts in clusters.items():
        for field, metric in found.items():
            metric.add({istio.CLUSTER_LABEL: service}, getattr(counts, field))
    metrics = [*request_metrics(series), *found.values()]
    if tls is not None:
        handshakes, refused = Metric(*istio.HANDSHAKES), Metric(*istio.REFUSED)
        for side, tally in (("server", tls.server), ("client", tls.client)):
            handshakes.add({"side": side}, tally.handshakes)
            for reason, times in sorted(tally.refused.items()):
                refused.add({"side": side, "reason": reason}, times)
        events, times_of = Metric(*istio.CERTIFICATES), Counter(certificates)
        for number, event in enumerate(CERTIFICATE_EVENTS):
            events.add({"event": event}, times_of[number])
        metrics += [handshakes, refused, events]
    return metrics
