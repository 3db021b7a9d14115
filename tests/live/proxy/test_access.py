"""Access rules at our proxy's inbound listener: what is denied, how that looks, and what gets round it."""

from __future__ import annotations

from time import monotonic
from typing import Any

from meshsim.live.wire.server import ServerConnection
from tests.live.proxy.ends import Client, Upstream
from tests.live.proxy.rig import Rig, live, proxied

SERVICES = {
    "frontend": {
        "script": [{"call": "cart"}],
        "endpoints": {"home": {"path": "/"}, "admin": {"path": "/admin"}, "buy": {"method": "POST"}},
    },
    "cart": {},
}
DENY_ADMIN = [{"deny": {"to": "frontend", "paths": "/admin*"}}]
OPEN_HOME = [{"allow": {"to": "frontend", "endpoints": ["home", "buy"]}}]
CONTEXT = "00000000000000ff;1.5;0;0;0"


def guarded(*rules: Any, **scenario: Any) -> Any:
    parts = {"services": SERVICES, "load": [{"to": "frontend", "endpoints": {"home": 1}, "rate": "1/s"}]}
    return proxied(id="frontend/0", app=Upstream(), access=list(rules), **(parts | scenario))


async def statuses(rig: Rig, *targets: str, method: str = "GET") -> list[int]:
    return [(await rig.ask(method, "inbound", target=target, host="frontend")).status for target in targets]


@live
async def test_what_is_denied_is_answered_and_logged_as_by_envoy() -> None:
    async with guarded(*DENY_ADMIN) as rig:
        answer = await rig.ask(listener="inbound", target="/admin?x=1", host="frontend")
        assert (answer.status, answer.body) == (403, b"RBAC: access denied")
        assert answer.get("content-type") == b"text/plain"
        (line,) = await rig.logged()
        assert (line["response_code"], line["response_flags"]) == (403, "-")
        assert line["response_code_details"] == "rbac_access_denied_matched_policy[access[0]]"
        assert (line["path"], line["upstream_host"], line["bytes_sent"]) == ("/admin?x=1", None, 19)
        assert rig.seen == []


@live
async def test_where_none_of_the_rules_that_allow_matches_none_is_named() -> None:
    async with guarded(*OPEN_HOME) as rig:
        assert await statuses(rig, "/", "/admin", "/else") == [200, 403, 403]
        assert (await rig.logged(3))[1]["response_code_details"] == "rbac_access_denied_matched_policy[none]"


@live
async def test_its_caller_hears_of_a_visit_and_the_metrics_count_it() -> None:
    async with guarded(*DENY_ADMIN) as rig:
        await rig.ask(listener="inbound", target="/admin", host="frontend", x_meshsim=CONTEXT)
        await rig.ask(listener="inbound", target="/admin", host="frontend")  # a stranger: nobody's visit
        rows = rig.proxy.rows()
        assert rows["visits.status"].tolist() == [403]
        text = (await rig.ask(listener="admin", target="/stats/prometheus", host="localhost")).body.decode()
        (line,) = [
            one for one in text.splitlines() if one.startswith("istio_requests_total") and '"403"' in one
        ]
        assert 'reporter="destination"' in line
        assert line.endswith(" 2")


@live
async def test_the_connection_goes_on_unless_a_body_is_still_to_come() -> None:
    async with guarded(*OPEN_HOME) as rig:
        client = await rig.client("inbound")
        assert (await client.ask(target="/admin", host="frontend")).status == 403
        assert (await client.ask(target="/", host="frontend")).status == 200


ODD = ["/admin/", "//admin", "/./admin", "/x/../admin", "/%61dmin", "/%2561dmin", "/admin;a=1", "/%2e/admin",
       "/x%2f..%2fadmin", "/admin%2f", "/x\\..\\admin", "http://frontend/admin", "HTTP://frontend//admin",
       "/admin?", "/admin?a=/"]  # fmt: skip


@live
async def test_no_spelling_of_a_path_gets_round_a_denial() -> None:
    async with guarded(*DENY_ADMIN) as rig:
        assert set(await statuses(rig, *ODD)) == {403}
        assert await statuses(rig, "/ADMIN", "/x/admin", "/?/admin") == [200, 200, 200]  # other resources
        assert [each.target for each in rig.seen] == [b"/ADMIN", b"/x/admin", b"/?/admin"]


@live
async def test_nor_into_a_service_that_is_open_in_part() -> None:
    async with guarded({"allow": {"to": "frontend", "paths": "/public/*"}}) as rig:
        assert await statuses(rig, "/public/a") == [200]
        assert set(await statuses(rig, "/public/../admin", "/public/%2e%2e/admin", "/public\\..\\admin")) == {
            403
        }


@live
async def test_methods_are_what_they_are_called() -> None:
    async with guarded({"deny": {"to": "frontend", "methods": "DELETE"}}) as rig:
        assert await statuses(rig, "/", method="DELETE") == [403]
        assert await statuses(rig, "/", method="delete") in ([400], [403])
        assert await statuses(rig, "/", method="PUT") == [200]


@live
async def test_the_proxys_own_answers_are_behind_the_rules() -> None:
    """TRACE and OPTIONS with Max-Forwards: 0 are answered here."""
    async with guarded({"deny": {"to": "frontend"}}) as rig:
        for method in ("TRACE", "OPTIONS"):
            answer = await rig.ask(method, "inbound", host="frontend", max_forwards="0")
            assert answer.status == 403


@live
async def test_headers_say_nothing_about_who_calls() -> None:
    """Names that callers give themselves, as some proxies pass them on, are no identity."""
    async with guarded({"allow": {"to": "frontend", "from": "cart"}}) as rig:
        claims = {
            "x_forwarded_client_cert": "URI=spiffe://cluster.local/ns/default/sa/cart",
            "x_meshsim": CONTEXT,
        }
        assert (await rig.ask(listener="inbound", target="/", host="cart", **claims)).status == 403


@live
async def test_claims_of_a_certificate_are_not_passed_on() -> None:
    """As by Envoy (SANITIZE): a program behind the proxy may believe them."""
    async with guarded() as rig:
        answer = await rig.ask(listener="inbound", host="frontend", x_forwarded_client_cert="URI=spiffe://a")
        assert answer.status == 200
        (seen,) = rig.seen
        assert seen.get("x-forwarded-client-cert") is None


@live
async def test_who_is_known_by_a_certificate_is_asked_about_by_name() -> None:
    rules = [{"allow": {"to": "frontend", "from": "cart"}}, {"deny": {"to": "frontend", "from": "client"}}]
    async with guarded(*rules) as rig:
        for name, status in (("cart", 200), ("client", 403), ("frontend", 403), ("", 403)):
            client: Client = await rig.client("inbound")
            assert (await client.ask(target="/", host="frontend")).status == 403
            connection: ServerConnection = rig.served()[-1]
            connection.identity = name
            assert (await client.ask(target="/", host="frontend")).status == status
            client.close()


@live
async def test_pushed_rules_count_on_open_connections() -> None:
    push = {"at": "300ms", "set": {"access": DENY_ADMIN}}
    async with guarded(events=[push]) as rig:
        client = await rig.client("inbound")
        seen = []
        until = monotonic() + 10.0
        while not seen or (seen[-1] == 200 and monotonic() < until):
            seen.append((await client.ask(target="/admin", host="frontend")).status)
        assert seen[-1] == 403
        assert seen[0] == 200
