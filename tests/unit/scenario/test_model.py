"""The models by themselves, and policies after pushes."""

import pickle

import pytest
from pydantic import ValidationError

from meshsim.scenario import Scenario, loads
from meshsim.scenario.model import Balance, Event, Load, OutlierDetection, Policy, Retries, Service
from meshsim.units import UNLIMITED

SMALL = {"duration": "10s", "services": {"a": {}}, "load": [{"to": "a", "rate": "1/s"}]}


def small(**keys):
    return Scenario.model_validate({**SMALL, **keys})


def test_silence_means_absence():
    scenario = small()
    service, policy = scenario.services["a"], scenario.policy("client", "a")
    assert (service.replicas, service.workers, service.queue) == (1, UNLIMITED, UNLIMITED)
    assert (service.discipline, service.holds_worker, service.when_abandoned) == ("fifo", True, "finish")
    assert (service.time.constant, service.errors, service.script) == (0.0, 0.0, ())
    assert (scenario.seed, scenario.warmup, scenario.engine) == (1, 0.0, "auto")
    assert (scenario.mesh.dataplane, scenario.mesh.push_delay.constant) == ("none", 0.0)
    assert (scenario.mesh.proxy.time.constant, scenario.mesh.proxy.workers) == (0.0, UNLIMITED)
    assert (policy.timeout, policy.retries, policy.hedge, policy.split) == (0.0, None, None, {})
    assert policy.balance.kind == "round_robin"
    assert scenario.link("client", "a").latency.constant == 0.0
    assert scenario.load[0].arrivals.kind == "poisson"
    assert scenario.drain_limit == 60.0
    assert Retries().on == ("5xx",)
    assert Retries.model_validate({"statuses": [503]}).on == ()
    assert Retries.model_validate({"statuses": [503], "on": ["reset"]}).on == ("reset",)
    assert (Retries().backoff.base, Retries().backoff.ceiling) == (0.025, 0.25)


def test_the_whole_syntax(whole):
    scenario = loads(whole)
    assert scenario.edges() == [
        ("client", "frontend"),
        ("frontend", "catalog"),
        ("frontend", "cart"),
        ("frontend", "recommend"),
    ]
    assert [len(stage) for stage in scenario.services["frontend"].script] == [1, 2, 1]
    cart = scenario.services["cart"].deployments()
    assert {name: version.replicas for name, version in cart.items()} == {"v1": 3, "v2": 1}
    mixture = scenario.services["recommend"].time.mixture
    assert [part.weight for part in mixture] == [99.0, 1.0]
    assert scenario.events[0].lasts == 20.0
    assert scenario.load[2].arrivals.mmpp.rates == (40.0, 120.0)
    assert scenario.load[3].profile[1].ramp == 10.0
    assert scenario.objectives[1].success == pytest.approx(0.999)
    assert scenario.policy("frontend", "catalog").balance.least_request.choices == 3
    for _, service in scenario.services.items():
        service.time.build()


def test_an_edge_s_policy_replaces_field_by_field():
    policies = {"a": {"timeout": "1s", "retries": {"attempts": 2}}, "client -> a": {"retries": None}}
    policy = small(policies=policies).policy("client", "a")
    assert (policy.timeout, policy.retries) == (1.0, None)


def test_versions_inherit():
    service = Service.model_validate(
        {"replicas": 3, "time": "5ms", "versions": {"v1": {}, "v2": {"replicas": 1}}}
    )
    assert [(v.replicas, v.time.constant) for v in service.deployments().values()] == [(3, 0.005), (1, 0.005)]


def test_ejection_limit_is_at_least_the_base():
    assert OutlierDetection().max_ejection_time == 300.0
    assert OutlierDetection.model_validate({"base_ejection_time": "10m"}).max_ejection_time == 600.0


@pytest.mark.parametrize("keys", [{"seed": "3"}, {"seed": True}, {"seed": 1.0}, {"name": 3}, {"schema": "1"}])
def test_values_are_not_guessed(keys):
    with pytest.raises(ValidationError):
        small(**keys)


def test_models_are_frozen_and_can_be_sent_to_other_processes():
    scenario = small(
        policies={"a": {"timeout": "1s"}}, events=[{"at": "1s", "set": {"policies.a.timeout": "2s"}}]
    )
    with pytest.raises(ValidationError):
        scenario.seed = 5
    sent = pickle.loads(pickle.dumps(scenario))
    assert sent == scenario
    assert sent.policies_after(0).policies["a"].timeout == 2.0


def test_ready_made_models_are_taken():
    scenario = small(
        policies={"a": Policy(balance=Balance(kind="random"), timeout="1s")},
        load=(Load(to="a", rate="1/s"),),
        events=[Event.model_validate({"at": "1s", "set": {"policies.a.timeout": "2s"}})],
    )
    after = scenario.policies_after(0).policies["a"]
    assert (after.timeout, after.balance.kind) == (2.0, "random")


# ---- policies_after ---------------------------------------------------------------------------------

PUSHES = {
    "policies": {"a": {"timeout": "1s", "retries": {"attempts": 1}}},
    "events": [
        {"at": "5s", "set": {"policies.a.timeout": "5s"}},
        {"at": "2s", "set": {"policies.a.timeout": "2s", "policies.a.retries.attempts": 4}},
        {"at": "2s", "service": "a", "slow": 2},
        {"at": "2s", "set": {"policies.a.retries.backoff.base": "10ms"}},
        {"at": "7s", "set": {"policies.a": {"hedge": {"after": "1s"}}, "policies.client -> a.timeout": "9s"}},
    ],
}


def test_pushes_add_up_in_order_of_time_then_of_the_file():
    scenario = small(**PUSHES)
    first, second, late, last = (scenario.policies_after(index).policies for index in (1, 3, 0, 4))
    assert (first["a"].timeout, first["a"].retries.attempts, first["a"].retries.backoff.base) == (
        2.0,
        4,
        0.025,
    )
    assert (second["a"].timeout, second["a"].retries.backoff.base) == (2.0, 0.01)
    assert (late["a"].timeout, late["a"].retries.attempts, late["a"].retries.backoff.base) == (5.0, 4, 0.01)
    assert (last["a"].timeout, last["a"].retries, last["a"].hedge.after) == (0.0, None, 1.0)
    assert last["client -> a"].timeout == 9.0


def test_the_scenario_itself_does_not_change():
    scenario = small(**PUSHES)
    before = scenario.model_dump()
    after = scenario.policies_after(4)
    assert scenario.model_dump() == before
    assert after.events == scenario.events
    assert scenario.policies["a"].timeout == 1.0


def test_pushes_share_nothing_with_one_another():
    scenario = small(
        events=[
            {"at": "1s", "set": {"policies.a.circuit_breaker": {"max_requests": 5}}},
            {"at": "2s", "set": {"policies.a.circuit_breaker.max_pending": 1}},
        ]
    )
    assert scenario.policies_after(1).policies["a"].circuit_breaker.max_pending == 1
    assert scenario.policies_after(0).policies["a"].circuit_breaker.max_pending == UNLIMITED


def test_the_document_may_change_later():
    written = {"a": {"retries": {"attempts": 1}}}
    pushed = {"policies.a.hedge": {"after": "1s"}}
    scenario = small(policies=written, events=[{"at": "1s", "set": pushed}])
    written["a"]["retries"]["attempts"] = 9
    pushed["policies.a.hedge"]["after"] = "9s"
    after = scenario.policies_after(0).policies["a"]
    assert (after.retries.attempts, after.hedge.after) == (1, 1.0)


def test_only_set_events_push():
    scenario = small(**PUSHES)
    with pytest.raises(ValueError, match="sets nothing"):
        scenario.policies_after(2)
    for index in (-1, 5):
        with pytest.raises(IndexError):
            scenario.policies_after(index)
    with pytest.raises(ValueError, match="only policies, access rules and mTLS modes can be pushed"):
        small(events=[{"at": "1s", "set": {"services.a.workers": 3}}]).policies_after(0)


def test_pushes_change_the_policies_a_scenario_has_however_it_got_them():
    document = {
        "duration": "1s", "services": {"s": {}}, "load": [{"to": "s", "rate": "1/s"}],
        "events": [{"at": "500ms", "set": {"policies.s.balance": "random"}}],
    }  # fmt: skip
    made = Scenario.model_validate({**document, "policies": {"s": Policy(timeout="2s")}})
    assert made.policies_after(0).policies["s"].timeout == 2.0
    changed = made.model_copy(update={"policies": {"s": Policy(timeout="500ms")}})
    assert changed.policies_after(0).policies["s"].timeout == 0.5
    assert changed.policies_after(0).policies["s"].balance.kind == "random"
