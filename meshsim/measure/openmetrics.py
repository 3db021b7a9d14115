"""OpenMetrics: metrics with the times at which they had their values, for Prometheus to read in afterwards.

Prometheus' text format asks for the values of now; this one is what ``promtool tsdb create-blocks-from
openmetrics`` makes blocks of. The labels, ``le`` among them, are those of the pages of proxies, so that both
have the same series.

Source: OpenMetrics 1.0, text format: samples of a series stand together, in the order of time; a counter's
name ends in ``_total``, others of Envoy's and istiod's counters are of type ``unknown``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from meshsim.measure.exposition import Labels, MetricOverTime, braced, escaped, number
from meshsim.measure.grid import Floats


def document(metrics: Iterable[MetricOverTime], times: Floats, began: float) -> Iterator[bytes]:
    """The text of metrics at (T,) `times`, s after `began`, s since 1970, piece by piece."""
    stamps = [f"{began + at:.3f}" for at in times]
    for metric in metrics:
        name, kind = metric.name.removesuffix("_total"), metric.kind
        if kind == "counter" and name == metric.name:
            kind = "unknown"
        if metric.samples:
            yield f"# TYPE {name} {kind}\n# HELP {name} {escaped(metric.help)}\n".encode()
        for _, series in groupby(metric.samples, lambda sample: _without_bound(sample[1])):
            lines = [
                (f"{metric.name}{suffix}{braced(labels)}", values.tolist())
                for suffix, labels, values in series
            ]
            for place, stamp in enumerate(stamps):
                text = "".join(f"{line} {number(values[place])} {stamp}\n" for line, values in lines)
                yield text.encode(errors="replace")
    yield b"# EOF\n"


def _without_bound(labels: Labels) -> Labels:
    """The labels of a series, without the bound of a bucket of it."""
    return {name: value for name, value in labels.items() if name != "le"}
