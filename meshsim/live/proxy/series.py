"""Istio's standard request metrics, as its sidecars expose them.

A request is counted twice in a mesh: by its caller's proxy (``reporter="source"``) and by its replica's
(``reporter="destination"``); a retried one is one at the source and several at the destination. Counting is a
few additions; the text is written when somebody asks.

Source: istio.io, Istio Standard Metrics; SEMANTICS section 8.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BOUNDS_MS = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000,
    3600000,
)  # fmt: skip
"""Envoy's default buckets, which Istio leaves; for sizes in bytes too."""

HISTOGRAMS = (
    ("duration_ms", "request_duration_milliseconds", "From a request's head to its answer's end."),
    ("request_bytes", "request_bytes", "Bodies of requests."),
    ("response_bytes", "response_bytes", "Bodies of answers."),
)
"""Attribute of `Answers`, name and description."""

Labels = dict[str, str]
VERSION = ("destination_version", "destination_canonical_revision")


class Buckets:
    """One histogram: upper `bounds`, the least first, and `counts`, whose last has no bound."""

    bounds: array[float]
    counts: array[int]

    def __init__(self) -> None:
        self.bounds = array("d", BOUNDS_MS)
        self.counts = array("q", [0] * (len(BOUNDS_MS) + 1))
        self.total = 0.0

    def add(self, value: float) -> None:
        """One more value.

        NOTE: almost all are in the first few buckets, so walking finds them sooner than halving.
        """
        place = 0
        while place < len(self.bounds) and value > self.bounds[place]:
            place += 1
        self.counts[place] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """As Prometheus wants them."""
        below = accumulate(self.counts)
        return [(str(bound), float(count)) for bound, count in zip((*BOUNDS_MS, "+Inf"), below, strict=True)]


class Answers:
    """The requests of one route that had the same answer."""

    duration_ms: Buckets
    request_bytes: Buckets
    response_bytes: Buckets

    def __init__(self) -> None:
        self.count = 0
        self.duration_ms = Buckets()
        self.request_bytes = Buckets()
        self.response_bytes = Buckets()


class Series:
    """The metrics of one route; `answers` are by status, flags and the version that answered.

    `labels` are all but those that differ from answer to answer; of the version, what is said where nobody
    answered.

    NOTE: the request counted last is kept apart (`status` to `latest`), as the next one is mostly like it.
    """

    answers: dict[tuple[int, str, str], Answers]
    latest: Answers | None

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.answers = {}
        self.status = -1
        self.flags = ""
        self.version = ""
        self.latest = None

    def count(
        self, status: int, flags: str, lasted: float, received: int, sent: int, version: str = ""
    ) -> None:
        """One more request, that took `lasted` s; `status` is 0 where the client had gone.

        `received` and `sent` are bytes of the bodies; `version` is the answering replica's, where the route
        leads to several.
        """
        found = self.latest
        if found is None or status != self.status or flags != self.flags or version != self.version:
            found = self._find(status, flags, version)
        found.count += 1
        found.duration_ms.add(lasted * 1e3)
        found.request_bytes.add(received)
        found.response_bytes.add(sent)

    def _find(self, status: int, flags: str, version: str) -> Answers:
        """What such requests are counted in."""
        found = self.answers.setdefault((status, flags, version), Answers())
        self.status = status
        self.flags = flags
        self.version = version
        self.latest = found
        return found


class Exposition(Collector):
    """The collector that a scrape asks."""

    def __init__(self, series: list[Series]) -> None:
        self.series = series

    def collect(self) -> Iterator[Metric]:
        """The four families, of all routes."""
        names = [*self.series[0].labels, "response_code", "response_flags"] if self.series else []
        counter = CounterMetricFamily("istio_requests", "Requests that a proxy has answered.", labels=names)
        histograms = {
            field: HistogramMetricFamily(f"istio_{name}", text, labels=names)
            for field, name, text in HISTOGRAMS
        }
        for series in self.series:
            for (status, flags, version), answers in series.answers.items():
                labelled = {**series.labels, **dict.fromkeys(VERSION if version else (), version)}
                values = [*labelled.values(), str(status), flags or "-"]
                counter.add_metric(values, answers.count)
                for field, family in histograms.items():
                    buckets: Buckets = getattr(answers, field)
                    family.add_metric(values, buckets.cumulative(), buckets.total)
        yield counter
        yield from histograms.values()


def labels(reporter: str, source: str, source_version: str, destination: str, version: str) -> Labels:
    """Istio's labels of one route.

    NOTE: who calls is known at the destination once it has shown a certificate; until then it is "unknown",
    as it is for Istio's plaintext callers.
    """
    return {
        "reporter": reporter,
        "source_workload": source,
        "source_workload_namespace": "default" if source != "unknown" else "unknown",
        "source_principal": "unknown",
        "source_app": source,
        "source_version": source_version,
        "source_cluster": "meshsim",
        "source_canonical_service": source,
        "source_canonical_revision": source_version,
        "destination_workload": destination,
        "destination_workload_namespace": "default",
        "destination_principal": "unknown",
        "destination_app": destination,
        "destination_version": version,
        "destination_cluster": "meshsim",
        "destination_service": destination,
        "destination_service_name": destination,
        "destination_service_namespace": "default",
        "destination_canonical_service": destination,
        "destination_canonical_revision": version,
        "request_protocol": "http",
        "connection_security_policy": "none" if reporter == "destination" else "unknown",
        "grpc_response_status": "",
    }
