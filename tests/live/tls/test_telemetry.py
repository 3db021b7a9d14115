"""What metrics and access logs of two proxies with mTLS say: who called whom, proven how."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.live.proxy.rig import Rig, live
from tests.live.tls.mesh import pair

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
