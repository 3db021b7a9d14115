"""What metrics and access logs of two proxies with mTLS say: who called whom, proven how."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from meshsim.live.envoy.accesslog import FIELDS
from tests.live.processes import closed_port
from tests.live.proxy.rig import Rig, live, proxied
from tests.live.tls.mesh import pair
from tests.live.tls.pki import Authority

CLIENT, CART = (f"spiffe://cluster.local/ns/default/sa/{name}" for name in ("client", "cart"))


async def samples(rig: Rig, name: str = "istio_requests_total") -> list[Sample]:
    answer = await rig.ask("GET", "admin", target="/stats/prometheus", host="localhost")
    families = text_string_to_metric_families(answer.body.decode())
    return [sample for family in families for sample in family.samples if sample.name == name]


@live
async def test_both_sides_know_each_other_by_their_certificates() -> None:
    async with pair() as mesh:
        assert (await mesh.ask()).status == 200
        (source,), (destination,) = await samples(mesh.caller), await samples(mesh.callee)
        for told in (source, destination):
            assert told.labels["source_principal"] == CLIENT
            assert told.labels["destination_principal"] == CART
            assert told.labels["source_workload"] == "client"
        assert source.labels["connection_security_policy"] == "unknown"
        assert destination.labels["connection_security_policy"] == "mutual_tls"


@live
async def test_plaintext_proves_nobody() -> None:
    async with pair() as mesh:
        mesh.mode = "permissive"
        client = await mesh.stranger()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        assert (await client.response()).status == 200
        assert (await mesh.ask()).status == 200
        plain, proven = sorted(
            await samples(mesh.callee), key=lambda each: each.labels["source_principal"], reverse=True
        )
        assert plain.labels["source_principal"] == plain.labels["source_workload"] == "unknown"
        assert plain.labels["destination_principal"] == "unknown"
        assert plain.labels["connection_security_policy"] == "none"
        assert proven.labels["source_principal"] == CLIENT


@live
async def test_what_was_refused_is_counted_by_reason() -> None:
    async with pair() as mesh:
        mesh.mode = "disable"
        assert (await mesh.ask()).status == 503
        (source,) = await samples(mesh.caller)
        assert source.labels["response_flags"] == "UF"
        assert source.labels["destination_principal"] == "unknown", "it has shown nothing"
        (refused,) = await samples(mesh.callee, "meshsim_tls_refused_total")
        assert refused.labels == {"side": "server", "reason": "tls_disabled"}
        handshakes = await samples(mesh.callee, "meshsim_tls_handshakes_total")
        assert {each.labels["side"]: each.value for each in handshakes} == {"server": 0, "client": 0}
        assert len(await samples(mesh.caller, "meshsim_certificates_total")) == 3


ENVOYS_ONLY = {"duration_us", "connected_after", "traceparent"}


@live
async def test_log_lines_have_envoys_fields_and_both_identities() -> None:
    async with pair() as mesh:
        assert (await mesh.ask()).status == 200
        (source,), (destination,) = await mesh.caller.logged(), await mesh.callee.logged()
        for line in (source, destination):
            assert set(line) == (set(FIELDS) - ENVOYS_ONLY) | {"connection_security_policy"}
        assert (source["upstream_peer_uri_san"], source["downstream_peer_uri_san"]) == (CART, None)
        assert (destination["downstream_peer_uri_san"], destination["upstream_peer_uri_san"]) == (
            CLIENT,
            None,
        )
        assert source["upstream_local_address"] == destination["downstream_remote_address"]
        assert source["upstream_host"] == destination["downstream_local_address"]
        policies = source["connection_security_policy"], destination["connection_security_policy"]
        assert policies == ("none", "mutual_tls")


@live
async def test_both_logs_say_why_a_handshake_failed() -> None:
    async with pair() as mesh:
        mesh.mode = "disable"
        assert (await mesh.ask()).status == 503
        (source,), (refused,) = await mesh.caller.logged(), await mesh.callee.logged()
        assert source["upstream_host"] == refused["downstream_local_address"]
        assert source["upstream_transport_failure_reason"].startswith("TLS_error:_")
        assert refused["downstream_transport_failure_reason"] == "TLS_error:_tls_disabled"
        assert refused["response_code"] == 0


@live
async def test_a_certificate_of_nobody_known_is_named_as_the_reason() -> None:
    async with pair(caller=Authority().leaf("client")) as mesh:
        assert (await mesh.ask()).status == 503
        (line, *_) = await mesh.caller.logged()
        assert line["upstream_transport_failure_reason"] == "TLS_error:_untrusted_root"


@live
async def test_an_upstream_that_is_gone_is_named_in_the_log() -> None:
    async with proxied() as rig:
        with closed_port() as port:
            rig.proxy.addresses["cart/0"] = "127.0.0.1", port
            assert (await rig.ask()).status == 503
        (line,) = await rig.logged()
        assert line["upstream_transport_failure_reason"] == "delayed_connect_error:_Connection_refused"
        assert line["upstream_host"]


@live
async def test_what_clients_send_breaks_neither_log_nor_page() -> None:
    async with proxied() as rig:
        client = await rig.client()
        odd = b'x-request-id: {"a":1}\r\nuser-agent: "\xff\\\x80\x85\xe2\x80\xa8\r\n\r\n'
        client.send(b'GET /"\\{},=\xff HTTP/1.1\r\nhost: cart\r\n' + odd)
        await client.response()
        (line,) = await rig.logged()
        assert set(line) >= {"path", "user_agent"}
        assert await samples(rig)
