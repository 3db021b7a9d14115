"""The overhead of a hop: measured exactly, added and nothing else."""

import sys
from pathlib import Path

import numpy as np
import pytest

from meshsim.engine.fast import simulate
from meshsim.errors import MeshsimError
from meshsim.lab.validate import calibration
from meshsim.scenario import config, loads
from meshsim.scenario.model import Policy

sys.path.insert(0, str(Path(__file__).parent))
from fake_live import Fake

SHOP = """
name: shop
duration: 30s
warmup: 2s
services:
  web:
    workers: 20
    time: {exponential: 10ms}
    errors: 5%
    script: [{call: cart}, {sleep: 20ms}, [{call: catalog}, {call: prices, probability: 50%}]]
  cart: {versions: {v1: {workers: 3, time: {exponential: 20ms}}, v2: {time: 30ms, errors: 10%}}}
  catalog: {workers: 4, queue: 3, time: {exponential: 20ms}, script: [{call: database}]}
  prices: {time: {exponential: 20ms}}
  database: {workers: 4, time: {exponential: 20ms}}
mesh: {dataplane: sidecar, proxy: {time: 1ms, workers: 1}}
links: {default: {latency: 2ms}, "web -> cart": {latency: {exponential: 5ms}, loss: 1%}}
policies:
  web: {timeout: 2s, rate_limit: {rate: 30/s, burst: 10}}
  cart: {split: {v1: 80, v2: 20}, retries: {attempts: 2}, balance: least_request, timeout: 50ms}
  database: {circuit_breaker: {max_connections: 1, max_pending: 1}}
load: [{to: web, rate: 50/s}]
events: [{at: 5s, service: cart, slow: 5}]
"""
EDGES = [
    ("client", "web"), ("web", "cart"), ("web", "catalog"), ("web", "prices"), ("catalog", "database"),
]  # fmt: skip


@pytest.fixture(scope="module")
def calm():
    return calibration.still(loads(SHOP), {})


def test_nothing_takes_time_fails_or_is_refused_while_calibrating(calm) -> None:
    records = simulate(calm, 1)
    assert set(records.requests.status.tolist()) == {200}
    took = records.requests.end - records.requests.start
    assert float(took.max()) == pytest.approx(calibration.STAGGER), "prices answers after catalog"
    assert float(took.min()) == pytest.approx(0.0, abs=1e-9)
    assert len(records.attempts.sent) == len(records.calls.start), "one try a call"
    assert not records.ejections
    share = np.mean(
        [records.replicas[i][1] == "v2" for i in records.attempts.replica[records.calls.edge == 1]]
    )
    assert 0.1 < share < 0.3, "who gets the requests is the scenario's"
    assert (calm.duration, calm.warmup) == (10.0, 2.0)


def test_nor_does_anything_of_an_endpoint() -> None:
    """Whose work is not the service's; a mix stays one, also where a closed load becomes open."""
    scenario = loads("""
duration: 5s
services:
  web:
    endpoints:
      home: {time: 20ms, errors: 50%, script: [[{call: cart/get, repeat: 2}, {call: user}]]}
      buy: {method: POST, script: [{sleep: 1s}, {call: cart/add}]}
  cart: {time: 5ms, versions: {v1: {endpoints: {add: {time: 9ms}}}}, endpoints: {get: {errors: 50%}, add: {}}}
  user: {endpoints: {id: {script: [{sleep: 1s}]}}}
policies: {cart: {retries: {attempts: 3}}, cart/get: {timeout: 1ms, rate_limit: {rate: 1/s, burst: 1}}}
load: [{to: web, users: 4, think: 100ms, endpoints: {home: 50, buy: 50}}]
""")
    calm = calibration.still(scenario, {0: 40.0})
    records = simulate(calm, 1)
    assert set(records.requests.status.tolist()) == {200}
    took = records.requests.end - records.requests.start
    home = records.requests.endpoint == "home"
    assert 0.4 < np.mean(home) < 0.6
    assert took[home] == pytest.approx(calibration.STAGGER), "user answers after cart"
    assert took[~home] == pytest.approx(0.0, abs=1e-9)


def test_what_is_to_run_can_be_written_and_read_again(calm) -> None:
    assert (
        simulate(loads(config.text(calm)), 1).requests.start.tolist()
        == simulate(calm, 1).requests.start.tolist()
    )


def test_each_edge_gets_its_own_overhead_and_not_that_of_its_children(calm) -> None:
    found = calibration.overheads(Fake(overhead=0.001)(calm, proxy="meshsim").run.records[0], calm)
    assert list(found) == EDGES
    for edge, own in found.items():
        error = 4.0 * 0.001 * 0.5 * np.sqrt(2.0 / len(own))  # two hops, each with cv 0.5
        assert own.mean() == pytest.approx(0.002, abs=error), edge


def test_a_wrong_service_time_has_no_way_in(calm) -> None:
    right = calibration.overheads(Fake()(calm, proxy="meshsim").run.records[0], calm)
    wrong = Fake(slow=dict.fromkeys(("web", "cart", "catalog", "prices", "database"), 2.0))
    planted = calibration.overheads(wrong(calm, proxy="meshsim").run.records[0], calm)
    for edge in EDGES:
        assert planted[edge].tolist() == right[edge].tolist()


def test_the_model_gets_the_overhead_on_top_of_its_links() -> None:
    scenario = loads(SHOP)
    sample = np.linspace(0.001, 0.003, 773)  # not so many that equal groups would do
    model = calibration.with_overheads(scenario, {edge: sample + i for i, edge in enumerate(EDGES)})
    own = {("web", "cart"): 0.005}
    for i, (caller, service) in enumerate(EDGES):
        link = model.link(caller, service)
        mean = link.latency.build().mean
        assert mean == pytest.approx(own.get((caller, service), 0.002) + (0.002 + i) / 2.0)
    assert model.link("web", "cart").loss == 0.01
    assert model.mesh.proxy.time.build().mean == 0.0, "a real proxy costs what it costs"
    assert loads(config.text(model)).links == model.links


def test_links_draw_as_they_would_without_overhead() -> None:
    """The live proxies emulate the scenario's own latencies, by these very draws."""
    scenario = loads(SHOP)
    model = calibration.with_overheads(scenario, dict.fromkeys(EDGES, np.full(50, 0.002)))
    own, more = (each.link("web", "cart").latency.build() for each in (scenario, model))
    for key in range(100):
        assert more.draw(key, 12) == pytest.approx(own.draw(key, 12) + 0.001, abs=1e-15)


def test_an_edge_with_few_calls_takes_the_numbers_of_the_others() -> None:
    scenario = loads(
        "{duration: 15s, services: {a: {script: [{call: b, probability: 0.1%}]}, b: {}}, load: [{to: a,"
        " rate: 50/s}]}"
    )
    run = calibration.overheads(Fake()(scenario, proxy="meshsim").run.records[0], scenario)
    found = calibration.pooled([run, run])
    assert len(run["a", "b"]) < calibration.LEAST < len(found["a", "b"])


def test_too_few_calls_are_an_error() -> None:
    scenario = loads("{duration: 1s, services: {a: {}}, load: [{to: a, rate: 2/s}]}")
    found = calibration.overheads(Fake()(scenario, proxy="meshsim").run.records[0], scenario)
    with pytest.raises(MeshsimError, match="make the scenario longer"):
        calibration.pooled([found, found])


def test_children_of_calls_that_a_request_makes_twice_are_left_out() -> None:
    """It can't be told whose they are; the rest of the requests are enough."""
    scenario = loads("""
duration: 20s
services:
  a: {script: [[{call: b}, {call: b, probability: 50%}]]}
  b: {script: [{call: c}]}
  c: {}
load: [{to: a, rate: 50/s}]
""")
    found = calibration.overheads(Fake(overhead=0.001)(scenario, proxy="meshsim").run.records[0], scenario)
    assert 300 < len(found["a", "b"]) < 700
    assert found["a", "b"].mean() == pytest.approx(0.002, rel=0.1)


def test_a_closed_load_is_calibrated_at_the_rate_it_has() -> None:
    scenario = loads(
        "{duration: 20s, services: {a: {time: 50ms}}, load: [{to: a, users: 5, think: {exponential: 50ms}}]}"
    )
    calm = calibration.still(scenario, {0: 42.0})
    assert (calm.load[0].users, calm.load[0].rate) == (None, 42.0)


def test_services_that_are_called_together_answer_one_after_the_other() -> None:
    scenario = loads(SHOP)
    assert calibration.pauses(scenario) == {"prices": calibration.STAGGER}
    records = simulate(calibration.still(scenario, {}), 1)
    index = records.edges.index(("web", "prices"))
    visits = records.attempts.edge == index
    took = (records.attempts.answered - records.attempts.arrived)[visits]
    assert took == pytest.approx(np.full(len(took), calibration.STAGGER))
    found = calibration.overheads(records, calibration.still(scenario, {}))
    assert float(found["web", "prices"].max()) == pytest.approx(0.0, abs=1e-9), "the pause is taken out again"


def test_a_hop_that_has_become_dearer_is_told() -> None:
    before = {("a", "b"): np.full(100, 0.001), ("b", "c"): np.full(3, 0.001)}
    after = {("a", "b"): np.full(100, 0.003), ("b", "c"): np.full(100, 0.9)}
    assert calibration.drift(before, after, 0.2) == []
    (found,) = calibration.drift(before, after, 0.05)
    assert found == "a -> b: a call cost 1 ms before the live run and 3 ms after it"


def test_a_preset_chooses_hosts_while_calibrating_and_does_nothing_else() -> None:
    for preset in ("envoy", "istio", "linkerd"):
        scenario = loads(SHOP, overrides={"mesh.preset": preset})
        calm = calibration.still(scenario, {})
        assert calm.mesh.preset == "none"
        for edge in scenario.edges():
            own, kept = scenario.policy(*edge), calm.policy(*edge)
            assert (kept.balance, kept.split) == (own.balance, own.split)
            assert (kept.timeout, kept.retries, kept.detection) == (0.0, None, None)
            assert kept.circuit_breaker == Policy().circuit_breaker


SECURED = """
name: secured
duration: 30s
services:
  web: {script: [{call: cart}, {call: old}]}
  cart: {}
  old: {sidecar: false}
mesh:
  dataplane: sidecar
  mtls: {mode: strict, handshake: 9ms, certificate_ttl: 3s}
policies: {cart: {connection: {max_requests: 5}}}
access: [{allow: {to: cart, from: other*}}]
load: [{to: web, rate: 50/s}]
"""


def test_connections_last_in_a_calibration_or_serve_one_call() -> None:
    scenario = loads(SECURED.replace("other*", "web"))
    calm = calibration.still(scenario, {})
    mtls = calm.mesh.mtls
    assert mtls is not None
    assert (mtls.certificate_ttl, mtls.mode) == (calibration.LASTING, "strict")
    assert calm.access == ()
    edges = [("client", "web"), ("web", "cart"), ("web", "old")]
    assert [calm.policy(*edge).connection for edge in edges] == [None] * 3
    opening = calibration.opening(calm)
    assert all(opening.policy(*edge).connection.max_requests == 1 for edge in edges)


def test_a_handshake_is_half_of_what_calls_take_longer_where_there_is_mtls() -> None:
    scenario = loads(SECURED.replace("other*", "web"))
    kept = {edge: np.full(50, 0.001) for edge in scenario.edges()}
    opened = {edge: np.full(50, 0.005) for edge in scenario.edges()}
    opened["web", "old"] = np.full(50, 0.9)
    cost = calibration.handshake(kept, opened, scenario)
    assert cost == pytest.approx(0.002)
    model = calibration.with_overheads(calibration.with_handshake(scenario, cost), kept)
    mtls = model.mesh.mtls
    assert mtls is not None
    assert mtls.handshake.build().mean == pytest.approx(0.002)
    assert (mtls.round_trips, mtls.certificate_ttl) == (0, 3.0)
    assert (model.mesh.proxy.workers, model.mesh.proxy.time.build().mean) == (1, 0.0)
    assert calibration.handshake(kept, kept, scenario) == 0.0


def test_endpoints_share_the_connections_of_their_service_in_a_calibration() -> None:
    text = SECURED.replace("cart: {}", "cart: {endpoints: {get: {}}}").replace("other*", "web")
    scenario = loads(text.replace("{call: cart}", "{call: cart/get}"))
    opening = calibration.opening(calibration.still(scenario, {}))
    again = loads(config.text(opening))
    assert again.policy("web", "cart", "get").connection.max_requests == 1
