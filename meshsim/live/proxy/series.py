"""What a proxy counts of the requests of its routes, and the page that says it, with Istio's metrics.

Counting is a few additions; the text is written when somebody asks. Names and labels are in
`meshsim.measure.istio`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from meshsim.measure import istio
from meshsim.measure.exposition import Metric
from meshsim.measure.istio import BOUNDS_MS

HISTOGRAMS = (
    ("duration_ms", istio.DURATION),
    ("request_bytes", istio.REQUEST_BYTES),
    ("response_bytes", istio.RESPONSE_BYTES),
)
"""Attribute of `Answers`, and the metric that it becomes."""


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
    """The metrics of one route; `answers` are by status, flags, the version that answered and the peer.

    The peer is the service whose certificate the other side has shown, nobody without mTLS: the caller of an
    inbound route, else the upstream. `version` is said of the destination where nobody has answered.

    NOTE: the request counted last is kept apart (`status` to `latest`), as the next one is mostly like it.
    """

    answers: dict[tuple[int, str, str, str], Answers]
    latest: Answers | None

    def __init__(
        self, reporter: str, source: str, source_version: str, destination: str, destination_version: str
    ) -> None:
        self.reporter = reporter
        self.source = source
        self.source_version = source_version
        self.destination = destination
        self.destination_version = destination_version
        self.answers = {}
        self.status = -1
        self.flags = ""
        self.version = ""
        self.peer = ""
        self.latest = None

    def count(
        self, status: int, flags: str, lasted: float, received: int, sent: int, version: str = "",
        peer: str = "",
    ) -> None:  # fmt: skip
        """One more request, that took `lasted` s; `status` is 0 where the client had gone.

        `received` and `sent` are bytes of the bodies; `version` is the answering replica's, where the route
        leads to several.
        """
        found = self.latest
        if (
            found is None
            or status != self.status
            or flags != self.flags
            or peer != self.peer
            or version != self.version
        ):
            found = self._find(status, flags, version, peer)
        found.count += 1
        found.duration_ms.add(lasted * 1e3)
        found.request_bytes.add(received)
        found.response_bytes.add(sent)

    def _find(self, status: int, flags: str, version: str, peer: str) -> Answers:
        """What such requests are counted in."""
        found = self.answers.setdefault((status, flags, version, peer), Answers())
        self.status = status
        self.flags = flags
        self.version = version
        self.peer = peer
        self.latest = found
        return found

    def labels(self, version: str, peer: str) -> dict[str, str]:
        """Istio's labels of what is counted with such a version and peer."""
        source = peer if self.reporter == istio.DESTINATION else self.source
        version = version or self.destination_version
        secured = peer != ""
        return istio.labels(self.reporter, source, self.source_version, self.destination, version, secured)


def request_metrics(every: Iterable[Series]) -> list[Metric]:
    """The four families of requests, of all routes."""
    counter = Metric(*istio.REQUESTS)
    histograms = {field: Metric(*about) for field, about in HISTOGRAMS}
    for series in every:
        for (status, flags, version, peer), answers in series.answers.items():
            labelled = istio.answered(series.labels(version, peer), status, flags)
            counter.add(labelled, answers.count)
            for field, metric in histograms.items():
                buckets: Buckets = getattr(answers, field)
                metric.add_histogram(labelled, BOUNDS_MS, buckets.counts, buckets.total)
    return [counter, *histograms.values()]
