"""``--set`` and the points of sweeps: the same checks as the file, at the place ``--set``."""

import numpy as np
import pytest

from meshsim.errors import ScenarioError
from meshsim.scenario import loads


def problems(text, overrides):
    with pytest.raises(ScenarioError) as caught:
        loads(text, "s.yaml", overrides)
    return caught.value.problems


def test_values_are_yaml(whole):
    scenario = loads(
        whole,
        overrides=[
            "seed=9",
            "load[0].rate=100/s",
            "services.catalog.time={exponential: 8ms}",
            "policies.cart.retries.on=[5xx, reset]",
            "policies.cart.timeout = 2s",
            "name=a = b",
            "description=",
            "description=x",
        ],
    )
    assert scenario.seed == 9
    assert scenario.load[0].rate == 100.0
    assert scenario.policies["cart"].retries.on == ("5xx", "reset")
    assert scenario.policies["cart"].timeout == 2.0
    assert scenario.name == "a = b"
    assert scenario.description == "x"


def test_values_from_python(whole):
    scenario = loads(
        whole,
        overrides={
            "seed": np.int64(9),
            "load[0].rate": "100/s",
            "services.cart.versions.v1.replicas": "7",
            "services.cart.errors": np.float64(0.25),
            "policies.cart.retries.on": ("5xx",),
            "services.catalog.time": {"exponential": "8ms"},
            "policies.cart.hedge": None,
        },
    )
    assert scenario.seed == 9
    assert scenario.services["cart"].versions["v1"].replicas == 7
    assert scenario.services["cart"].errors == 0.25
    assert scenario.policies["cart"].retries.on == ("5xx",)
    assert scenario.policies["cart"].hedge is None


def test_what_is_missing_on_the_way_is_made(whole):
    scenario = loads(
        whole,
        overrides=[
            "policies.recommend.retries.attempts=3",
            "policies.frontend -> recommend.timeout=3s",
            "policies.cart.balance.least_request.choices=4",  # the file says `balance: least_request`
            "links.client -> frontend.latency=1ms",
        ],
    )
    assert scenario.policies["recommend"].retries.attempts == 3
    assert scenario.policies["frontend -> recommend"].timeout == 3.0
    assert scenario.policies["cart"].balance.least_request.choices == 4
    assert scenario.link("client", "frontend").latency.constant == 0.001


def test_keys_that_hold_dots(whole):
    scenario = loads(whole, overrides=["events[3].set.policies.cart.split.v1=10"])
    assert scenario.policies_after(3).policies["cart"].split == {"v1": 10.0, "v2": 50.0}


@pytest.mark.parametrize(
    ("override", "key", "words"),
    [
        ("load[0].rate=100", "load[0].rate", "100 has no unit (write a rate such as 100/s)"),
        ("load[0].rte=100/s", "load[0].rte", "did you mean rate?"),
        ("load[9].rate=100/s", "load[9].rate", "load has only 4 entries (positions count from 0)"),
        ("load.rate=100/s", "load.rate", "load is a list (write a position such as load[0])"),
        ("services[0].workers=1", "services[0].workers", "services is not a list"),
        ("polices.cart.timeout=1s", "polices", "unknown key (did you mean policies?)"),
        ("policies.crat.timeout=1s", "policies.crat", "no service 'crat' (did you mean cart?)"),
        ("policies.cart.retries.atempts=1", "policies.cart.retries.atempts", "did you mean attempts?"),
        ("seed", "", "'seed' has no = (write KEY=VALUE, such as seed=7)"),
        ("=5", "", "the key is empty"),
        ("[0]=5", "[0]", "not a dotted key"),
        ("load[x].rate=5", "load[x].rate", "not a dotted key"),
        ("load[0]rate=5", "load[0]rate", "not a dotted key"),
        (".seed=5", ".seed", "not a dotted key"),
        ("seed.=5", "seed.", "not a dotted key"),
        ("name=[a", "name", "not YAML"),
        ("name=!!python/none x", "name", "the tag !!python/none is not taken"),
        ("seed=.inf", "seed", "'.inf' is not finite"),
        ("policies.cart.split={v1: 1, v1: 2}", "policies.cart.split", "the key is already on line 1"),
        ("warmup=200s", "warmup", "'200s' leaves nothing to measure"),
        (".".join("abcdefghij" * 6) + "=1", None, "the key has too many parts"),
    ],
)
def test_problems_are_those_of_the_set(whole, override, key, words):
    (problem,) = problems(whole, [override])
    assert (problem.file, problem.line) == ("--set", 0)
    assert key in (None, problem.key)
    assert words in str(problem)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**30, {1, 2}, object(), b"x", 1j])
def test_python_values_that_no_scenario_can_use(whole, value):
    (problem,) = problems(whole, {"seed": value})
    assert (problem.file, problem.key) == ("--set", "seed")


def test_endless_python_values(whole):
    endless = []
    endless.append(endless)
    (problem,) = problems(whole, {"load": endless})
    assert "nested deeper" in str(problem)


def test_the_file_is_blamed_for_its_own_lines(whole):
    found = problems(whole, ["duration=75s"])
    assert [(problem.file, problem.key) for problem in found] == [("s.yaml", "events[3].at")]


def test_an_override_may_mend_the_file(whole):
    broken = whole.replace("rate: 200/s", "rate: 200")
    assert loads(broken, overrides=["load[0].rate=50/s"]).load[0].rate == 50.0


def test_what_is_no_text_is_told_too(whole):
    assert "5 has no =" in str(problems(whole, [5])[0])
    assert problems(whole, {5: 1})[0].key == "5"


def test_a_lone_text_is_one_override(whole):
    assert loads(whole, overrides="seed=3").seed == 3


def test_a_service_with_a_mistake_in_its_name_is_not_made(whole):
    (problem,) = problems(whole, ["services.frontent.drain=2s"])
    assert str(problem) == "--set: services.frontent: no service 'frontent' (did you mean frontend?)"


def test_a_service_that_somebody_calls_may_be_added(whole):
    for caller in ("load[0].to=new", "services.cart.script=[{call: new}]"):
        assert "new" in loads(whole, overrides=["services.new.time=1ms", caller]).services
    assert "new" in loads(whole, overrides=["services.new={time: 1ms}"]).services
