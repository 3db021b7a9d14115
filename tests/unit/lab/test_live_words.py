"""What is said of how well the machine of a live run kept up."""

import pytest

pytest.importorskip("uvloop")
from meshsim.lab.live import words
from meshsim.measure.disturbance import Lag, LiveConditions, MachineUse


def found(p50: float, p99: float, busy: float = 0.4) -> LiveConditions:
    return LiveConditions(Lag(p50, p99, 2 * p99), None, {}, MachineUse(busy, 0.0), {})


def test_rare_spikes_are_short_delays_and_no_reason_to_ask_for_less() -> None:
    (said,) = words(found(1e-4, 7.8e-3), 0.03)
    assert "short delays: 1 % of the requests were sent 7.8 ms or more" in said
    assert "half of them at most 100 us" in said
    assert "less load" not in said


def test_a_lag_of_half_of_the_requests_is_too_much_load() -> None:
    (said,) = words(found(0.02, 0.3), 0.03)
    assert "could not keep up" in said
    assert "ask for less load" in said


def test_so_are_spikes_on_a_busy_machine() -> None:
    said = words(found(1e-4, 0.3, busy=0.97), 0.03)
    assert "could not keep up" in said[0]
    assert "busy for 97 %" in said[1]


def test_a_small_lag_is_not_told() -> None:
    assert not words(found(1e-4, 4e-3), 0.03)
