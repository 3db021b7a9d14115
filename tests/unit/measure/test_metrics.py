from types import SimpleNamespace

import pytest

from meshsim.errors import MeshsimError
from meshsim.measure import metrics
from meshsim.measure.result import at
from meshsim.measure.summary import metrics_of, summarise


def summary_of(make_scenario, make_records, count: int, status=200):
    import numpy as np

    scenario = make_scenario()
    return summarise([make_records(scenario, np.linspace(10.0, 99.0, count), 0.1, status=status)], scenario)


def test_metrics_are_those_with_intervals(make_scenario, make_records) -> None:
    import numpy as np

    scenario = make_scenario()
    records = [make_records(scenario, np.linspace(10.0, 99.0, 50), 0.1, seed=seed) for seed in (1, 2)]
    ci = summarise(records, scenario).ci
    assert set(metrics_of(scenario)) == set(ci)
    for metric in ci:
        assert at(summarise(records[:1], scenario), metric) == pytest.approx(ci[metric].mean)


def test_a_wrong_metric_names_the_nearest(make_scenario) -> None:
    known = metrics_of(make_scenario())
    assert metrics.check("latency.p99", known) == "latency.p99"
    with pytest.raises(MeshsimError, match=r"did you mean latency.p99\?"):
        metrics.check("latncy.p99", known)


def test_percentiles_that_the_sample_supports_pass(make_scenario, make_records) -> None:
    summary = summary_of(make_scenario, make_records, 1000)
    for metric in ("latency.p99", "latency.mean", "requests.goodput", "services.api.latency.mean"):
        metrics.refuse_unsupported(metric, summary)


def test_percentiles_that_the_sample_can_not_support_are_refused(make_scenario, make_records) -> None:
    with pytest.raises(MeshsimError) as caught:
        metrics.refuse_unsupported("latency.p999", summary_of(make_scenario, make_records, 1000))
    message = str(caught.value)
    assert message.startswith("latency.p999 can't be supported")
    for part in ("1,000 requests", "1 lie beyond", "10,000 in all", "(duration=1000s)", "latency.p99"):
        assert part in message, part
    with pytest.raises(MeshsimError, match=r"or choose latency.p90"):
        metrics.refuse_unsupported("latency.p95", summary_of(make_scenario, make_records, 199))


def test_of_good_answers_only_those_count(make_scenario, make_records) -> None:
    failed = summary_of(make_scenario, make_records, 1000, status=504)
    metrics.refuse_unsupported("latency.p99", failed)
    with pytest.raises(MeshsimError, match=r"has 0 requests for it.*choose ok_latency.mean"):
        metrics.refuse_unsupported("ok_latency.p99", failed)


def test_an_objective_rests_on_what_it_is_judged_by() -> None:
    few, add = SimpleNamespace(answered=50, unfinished=50), SimpleNamespace(answered=20)
    clients = SimpleNamespace(answered=950, unfinished=50, endpoints={"buy": few})
    cart = SimpleNamespace(answered=99, endpoints={"add": add})
    web = SimpleNamespace(answered=1000)
    summary = SimpleNamespace(edges={"client -> web": clients}, services={"cart": cart, "web": web})
    assert metrics.supports(summary, "objectives.web.p99")  # a client that has no answer has waited long
    assert not metrics.supports(summary, "objectives.web.p999")
    assert not metrics.supports(summary, "objectives.cart.p90")
    assert metrics.supports(summary, "objectives.cart.p50")
    assert metrics.supports(summary, "objectives.cart.success")
    assert metrics.supports(summary, "objectives.web/buy.p90")
    assert not metrics.supports(summary, "objectives.web/buy.p95")
    assert metrics.supports(summary, "objectives.cart/add.p50")
    assert not metrics.supports(summary, "objectives.cart/add.p90")
    assert not metrics.supports(summary, "services.cart.latency.p99")
