"""The metrics of a control plane, by istiod's names: a live one's page has them, and so has a run's.

Source: Istio, pilot/pkg/xds/monitoring.go.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshsim.measure.exposition import Metric, MetricOverTime, latest
from meshsim.measure.grid import Floats
from meshsim.measure.over_time import AT_END, before, counted
from meshsim.mesh.control_plane import Push

BOUNDS = (0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0)
"""Of the convergence time, s."""


def control_plane_metrics(pushes: Sequence[Push]) -> list[Metric]:
    """What became of pushes: how often a proxy was reached, refused, and how long after the change it was."""
    return latest(control_plane_over_time(pushes, AT_END))


def control_plane_over_time(pushes: Sequence[Push], times: Floats) -> list[MetricOverTime]:
    """The same up to each of (T,) `times`, s; refusals count once their push has reached its last proxy."""
    reached = MetricOverTime("pilot_xds_pushes", "counter", "Configurations that have reached a proxy.")
    refused = MetricOverTime("pilot_total_xds_rejects", "counter", "Of these, those that the proxy refused.")
    convergence = MetricOverTime(
        "pilot_proxy_convergence_time", "histogram", "From a change until a proxy has it, s."
    )
    arrivals = np.array([arrival for push in pushes for arrival in push.arrivals])
    lasted = arrivals - np.repeat([push.changed for push in pushes], [len(push.arrivals) for push in pushes])
    buckets = counted(times, arrivals, np.searchsorted(BOUNDS, lasted), len(BOUNDS) + 1)
    total = np.bincount(before(times, arrivals), lasted, len(times)).cumsum()
    ended = np.repeat(
        [max(push.arrivals, default=push.begun) for push in pushes], [push.nacked for push in pushes]
    )
    reached.add({}, buckets.sum(axis=0))
    refused.add({}, counted(times, ended, np.zeros(len(ended), np.int64), 1)[0])
    convergence.add_histogram({}, BOUNDS, buckets, total)
    return [reached, refused, convergence]
