"""What is said of pushes: how long they took, and how long proxies knew different things."""

from __future__ import annotations

import pytest

from meshsim.measure.pushes import pushes
from meshsim.mesh.control_plane import Push


def push(version: int, changed: float, proxies: int, *arrivals: float) -> Push:
    return Push(version, changed, changed, proxies, arrivals=list(arrivals))


@pytest.mark.parametrize(
    ("found", "disagreed"),
    [
        ([push(1, 1.0, 3, 2.0, 3.0, 5.0)], 3.0),
        ([push(1, 1.0, 2, 2.0, 4.0), push(2, 1.5, 2, 3.0, 6.0)], 4.0),
        ([push(1, 1.0, 2, 2.0, 3.0), push(2, 7.0, 2, 8.0, 8.5)], 1.5),
        ([push(1, 1.0, 3, 2.0, 3.0)], 8.0),
        ([push(1, 1.0, 3)], 0.0),
        ([push(1, 1.0, 1, 2.0)], 0.0),
    ],
)
def test_proxies_disagree_until_the_last_has_a_push_or_the_run_ends(
    found: list[Push], disagreed: float
) -> None:
    summary = pushes(found, 10.0)
    assert summary is not None
    assert summary.disagreed == disagreed


def test_without_a_push_there_is_nothing_to_say() -> None:
    assert pushes([], 10.0) is None
    summary = pushes([push(1, 1.0, 2)], 10.0)
    assert summary is not None
    assert (summary.total, summary.convergence_mean, summary.each[0].first) == (1, None, None)
