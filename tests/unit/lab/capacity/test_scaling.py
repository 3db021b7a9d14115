import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.capacity.scaling import Scaling
from meshsim.measure.capacity import Amount
from meshsim.scenario import loads


def scaling(load: str) -> Scaling:
    return Scaling(loads(f"{{duration: 40s, warmup: 10s, services: {{a: {{}}}}, load: [{load}]}}"))


def test_every_form_of_load_is_multiplied() -> None:
    found = scaling(
        "{to: a, rate: 50/s}, {to: a, profile: [{at: 0s, rate: 10/s}, {at: 25s, rate: 30/s}]},"
        "{to: a, arrivals: {mmpp: {rates: [40/s, 100/s], mean_times: [3s, 1s]}}}, {to: a, users: 7}"
    )
    rate, profile, mmpp, closed = found.at(3.0).load
    assert rate.rate == 150.0
    assert [point.rate for point in profile.profile] == [30.0, 90.0]
    assert mmpp.arrivals.mmpp.rates == (120.0, 300.0)
    assert closed.users == 21
    assert sum(amount.rate or 0.0 for amount in found.amounts(1.0)) == pytest.approx(
        50.0 + 20.0 + 55.0
    )  # the profile over the measured half and half
    assert found.label(3.0) == "375/s and 21 users"
    assert found.amounts(1.0)[3] == Amount("a", users=7)
    assert found.requests == pytest.approx(30.0 * 125.0)


def test_the_own_load_is_the_scenario_itself() -> None:
    found = scaling("{to: a, rate: 50/s}")
    assert found.at(1.0) is found.scenario


def test_users_come_in_whole_numbers() -> None:
    found = scaling("{to: a, users: 10}")
    middle = found.middle(0.02)
    assert middle(0.1, 6.4) == pytest.approx(0.8)
    assert middle(1.0, 1.2) == pytest.approx(1.1)
    assert middle(1.0, 1.1) is None
    assert found.apart(1.0, 0.02, 2) == pytest.approx(1.2)
    assert found.at(1.1).load[0].users == 11
    assert found.requests is None


def test_a_trace_can_not_come_faster() -> None:
    found = scaling("{to: a, rate: 50/s}").scenario
    trace = {"kind": "trace", "trace": {"times": [0.1]}}
    load = found.load[0].model_copy(update={"arrivals": type(found.load[0].arrivals).model_validate(trace)})
    with pytest.raises(MeshsimError, match=r"load\[0\] follows a trace"):
        Scaling(found.model_copy(update={"load": (load,)}))
