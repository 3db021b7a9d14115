"""The metrics of a control plane, by istiod's names: a live one's page has them, and so has a run's.

Source: Istio, pilot/pkg/xds/monitoring.go.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshsim.measure.exposition import Metric
from meshsim.mesh.control_plane import Push

BOUNDS = (0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0)
"""Of the convergence time, s."""


def control_plane_metrics(pushes: Sequence[Push]) -> list[Metric]:
    """What became of pushes: how often a proxy was reached, refused, and how long after the change it was."""
    reached = Metric("pilot_xds_pushes", "counter", "Configurations that have reached a proxy.")
    refused = Metric("pilot_total_xds_rejects", "counter", "Of these, those that the proxy refused.")
    convergence = Metric(
        "pilot_proxy_convergence_time", "histogram", "From a change until a proxy has it, s."
    )
    lasted = [arrival - push.changed for push in pushes for arrival in push.arrivals]
    counts = np.bincount(np.searchsorted(BOUNDS, lasted), minlength=len(BOUNDS) + 1)
    reached.add({}, len(lasted))
    refused.add({}, sum(push.nacked for push in pushes))
    convergence.add_histogram({}, BOUNDS, counts.tolist(), sum(lasted))
    return [reached, refused, convergence]
