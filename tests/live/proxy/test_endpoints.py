"""Endpoints: requests find route and work by method and path, calls of a program the step that they are."""

from __future__ import annotations

from typing import Any

from meshsim.live.context import parse_context
from meshsim.random import REPEAT, SCRIPT, derive
from tests.live.proxy.ends import Message, Upstream, answers
from tests.live.proxy.rig import Rig, live, proxied
from tests.live.proxy.test_pairing import FIRST, SECRET, sent_by_a_sidecar
from tests.live.proxy.test_service import serving

ENDPOINTS = {
    "get": {"path": "/cart"},
    "add": {"method": "POST", "path": "/cart"},
    "look": {"method": "HEAD", "path": "/cart"},
}
CALLED: dict[str, Any] = {
    "services": {"cart": {"endpoints": ENDPOINTS}},
    "load": [{"to": "cart", "rate": "1/s", "endpoints": {"get": 1, "add": 1, "look": 1}}],
}


@live
async def test_an_endpoint_has_the_policy_of_its_own_and_a_stranger_that_of_the_service() -> None:
    abort = {"fault": {"abort": {"percent": "100%", "status": 418}}}
    async with proxied(**CALLED, policies={"cart/add": abort}) as rig:
        for listener in ("outbound", "cart"):
            found = [
                (await rig.ask(method, listener, target=target)).status
                for method, target in (
                    ("POST", "/cart"), ("POST", "/cart?id=1"), ("GET", "/cart"), ("HEAD", "/cart"),
                    ("POST", "/"), ("POST", "/carts"), ("PUT", "/cart"), ("GET", "/"),
                )
            ]  # fmt: skip
            assert found == [418, 418, 200, 200, 200, 200, 200, 200], listener
        assert rig.proxy.stats()["edges"]["client -> cart"]["calls"] == 16, "of all routes to the service"


@live
async def test_method_and_path_are_sent_on() -> None:
    async with proxied(**CALLED) as rig:
        client = await rig.client()
        for method in ("POST", "HEAD", "GET"):
            assert (await client.ask(method, target="/cart?id=1")).status == 200
        assert [each.first for each in rig.seen] == [
            b"%b /cart?id=1 HTTP/1.1" % method for method in (b"POST", b"HEAD", b"GET")
        ]
        assert [each.get("content-length") for each in rig.seen] == [b"0", None, None]


@live
async def test_endpoints_share_the_bucket_of_the_service_unless_they_have_their_own() -> None:
    limit = {"rate_limit": {"rate": "0.001/s", "burst": 2}}
    async with proxied(**CALLED, policies={"cart": limit, "cart/add": limit}) as rig:
        requests = ("GET", "/cart"), ("HEAD", "/cart"), ("GET", "/cart"), ("GET", "/")
        assert [(await rig.ask(method, target=target)).status for method, target in requests] == [
            200, 200, 429, 429,
        ]  # fmt: skip
        assert [(await rig.ask("POST", target="/cart")).status for _ in range(3)] == [200, 200, 429]


@live
async def test_calls_and_tries_are_recorded_with_their_routes() -> None:
    async with proxied(**CALLED) as rig:
        for method, target in (("POST", "/cart"), ("GET", "/cart"), ("GET", "/cart/1")):
            await rig.ask(method, target=target)
        rows = rig.proxy.rows()
        routes = rig.proxy.topology.routes
        for table in ("calls", "attempts"):
            assert [routes[number][2] for number in rows[f"{table}.route"]] == ["add", "get", ""]


@live
async def test_a_replica_does_the_work_of_the_endpoint() -> None:
    endpoints = {"bad": {"errors": "100%"}, "look": {"method": "HEAD", "path": "/bad"}}
    async with serving(endpoints=endpoints) as bench:
        client = await bench.client()
        for method, target, status in (
            ("GET", "/bad", 500), ("GET", "/bad?id=1", 500), ("HEAD", "/bad", 200), ("POST", "/bad", 200),
            ("GET", "/bad/1", 200), ("GET", "/", 200),
        ):  # fmt: skip
            answer = await client.ask(method, target)
            assert (answer.status, answer.body) == (status, b"" if method == "HEAD" else b"cart/0\n")


@live
async def test_a_replica_asks_for_the_endpoints_of_its_script() -> None:
    script = [{"call": "catalog/list", "repeat": 2}, {"call": "catalog/buy"}, {"call": "catalog/look"}]
    catalog = Upstream()
    methods = {"list": {}, "buy": {"method": "POST", "path": "/order"}, "look": {"method": "HEAD"}}
    async with serving(catalog=catalog, called=methods, endpoints={"all": {"script": script}}) as bench:
        client = await bench.client()
        assert (await client.ask(target="/all")).status == 200
        assert [each.first for each in catalog.requests] == [
            b"GET /list HTTP/1.1", b"GET /list HTTP/1.1", b"POST /order HTTP/1.1", b"HEAD /look HTTP/1.1",
        ]  # fmt: skip
        assert (await client.ask()).status == 200, "the service itself has no script"
        assert len(catalog.requests) == 4


@live
async def test_a_call_of_a_program_has_the_key_of_its_step_in_the_script_of_what_is_served() -> None:
    """The n-th call of an endpoint is the n-th that the script makes, repetitions included."""
    rigs: list[Rig] = []
    services = {
        "frontend": {
            "live": {"command": ["gateway"]},
            "script": [{"call": "cart/get"}],
            "endpoints": {
                "buy": {
                    "method": "POST",
                    "script": [{"call": "cart"}, [{"call": "cart/add"}, {"call": "cart/get", "repeat": 3}]],
                },
            },
        },
        "cart": {"endpoints": ENDPOINTS},
    }

    async def gateway(request: Message, writer: Any) -> None:
        passed = {name.decode(): value.decode() for name, value in request.headers}
        kept = {name: passed[name] for name in ("traceparent", "x-request-id")}
        for method, target in (("GET", "/cart"), ("POST", "/cart"), ("GET", "/cart"), ("GET", "/what")):
            await rigs[0].ask(method, target=target, **kept)
        await answers()(request, writer)

    program, cart = Upstream(gateway), Upstream()
    load = [{"to": "frontend", "rate": "1/s", "endpoints": {"buy": 1}}]
    async with proxied(
        cart, id="frontend/0", app=program, services=services, load=load, context=SECRET
    ) as rig:
        rigs.append(rig)
        await rig.ask("POST", "inbound", target="/buy", host="frontend", **sent_by_a_sidecar())
        get = derive(FIRST, SCRIPT + 2)
        meant = [get, derive(FIRST, SCRIPT + 1), derive(get, REPEAT + 1), derive(FIRST, SCRIPT)]
        contexts = [parse_context(each.get(SECRET) or b"") for each in cart.requests]
        assert [context and context.key for context in contexts] == meant
