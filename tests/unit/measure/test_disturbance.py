"""Whether a machine was quiet enough."""

from meshsim.measure.disturbance import Evidence, Lag

QUIET = Lag(1e-4, 1e-3, 5e-3)


def test_small_lags_beside_long_latencies_are_no_matter() -> None:
    seen = Evidence(load_lag=QUIET, service_lag=QUIET, cpu_busy=0.5, cpu_steal=0.0)
    assert seen.complaints(0.04, 0.2) == []
    assert seen.as_dict()["load_lag"] == {"p50": 1e-4, "p99": 1e-3, "max": 5e-3}


def test_each_kind_of_noise_is_named() -> None:
    late = Lag(5e-3, 0.05, 0.1)
    assert len(Evidence(load_lag=late).complaints(0.04, 0.2)) == 2
    (found,) = Evidence(service_lag=Lag(1e-4, 0.02, 0.1)).complaints(0.04, 0.2)
    assert found == "the services acted late: lag p99 20 ms, latency p99 200 ms"
    assert Evidence(cpu_busy=0.95).complaints(1, 1) == ["CPU utilisation was 95 %"]
    assert "hypervisor" in Evidence(cpu_steal=0.2).complaints(1, 1)[0]


def test_what_was_not_seen_is_no_complaint() -> None:
    assert Evidence().complaints(0.0, 0.0) == []
