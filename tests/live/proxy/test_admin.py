"""What a proxy tells of itself: readiness, metrics, statistics, the access log."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from meshsim.live.proxy.access import BLOCK_BYTES, REMEMBERED, REMEMBERED_BYTES, AccessLog, Field
from meshsim.live.proxy.access import text as written
from meshsim.live.proxy.listener import Listener
from meshsim.live.troubles import troubles
from tests.live.proxy.ends import Upstream, Watch, answers, in_turn, settle, silence
from tests.live.proxy.rig import Rig, live, proxied

ISTIO = {
    "reporter", "source_workload", "source_workload_namespace", "source_principal", "source_app",
    "source_version", "source_cluster", "source_canonical_service", "source_canonical_revision",
    "destination_workload", "destination_workload_namespace", "destination_principal", "destination_app",
    "destination_version", "destination_cluster", "destination_service", "destination_service_name",
    "destination_service_namespace", "destination_canonical_service", "destination_canonical_revision",
    "request_protocol", "response_code", "response_flags", "connection_security_policy",
    "grpc_response_status",
}  # fmt: skip
FIELDS = {
    "start_time", "method", "path", "protocol", "response_code", "response_flags", "response_code_details",
    "bytes_received", "bytes_sent", "duration", "upstream_service_time", "x_forwarded_for", "user_agent",
    "request_id", "authority", "upstream_host", "upstream_cluster", "route_name",
}  # fmt: skip


async def page(rig: Rig, path: str, method: str = "GET") -> tuple[int, bytes]:
    answer = await rig.ask(method, listener="admin", target=path, host="localhost")
    return answer.status, answer.body


async def samples(rig: Rig) -> list[Sample]:
    """All samples of a scrape."""
    status, text = await page(rig, "/stats/prometheus")
    assert status == 200
    return [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]


def counts(told: list[Sample], reporter: str) -> Iterator[tuple[str, str, float]]:
    """Code, flags and count of each series of requests of one reporter."""
    for sample in told:
        if sample.name == "istio_requests_total" and sample.labels["reporter"] == reporter:
            yield sample.labels["response_code"], sample.labels["response_flags"], sample.value


@live
async def test_it_is_ready_when_it_knows_its_upstreams() -> None:
    async with proxied() as rig:
        assert await page(rig, "/ready") == (200, b"LIVE\n")
        rig.proxy.admin.ready = False
        assert await page(rig, "/ready") == (503, b"PRE_INITIALIZING\n")


@live
async def test_pages_that_are_not_there() -> None:
    async with proxied() as rig:
        assert (await page(rig, "/config_dump"))[0] == 404
        assert (await page(rig, "/stats", "POST"))[0] == 405
        assert await page(rig, "/ready?x=1", "HEAD") == (200, b"")


@live
async def test_requests_are_counted_with_istios_labels() -> None:
    async with proxied(Upstream(in_turn(answers(), answers(), answers(404)))) as rig:
        client = await rig.client()
        for _ in range(3):
            await client.ask("POST", body=b"12345")
        told = [sample for sample in await samples(rig) if sample.name.startswith("istio_")]
        names = {re.sub("_(bucket|sum|count)$", "", sample.name) for sample in told}
        assert names == {
            "istio_requests_total", "istio_request_duration_milliseconds", "istio_request_bytes",
            "istio_response_bytes",
        }  # fmt: skip
        for sample in told:
            assert set(sample.labels) - {"le"} == ISTIO
        assert sorted(counts(told, "source")) == [("200", "-", 2.0), ("404", "-", 1.0)]
        labels = told[0].labels
        assert (labels["source_workload"], labels["destination_service_name"]) == ("client", "cart")
        received = {
            sample.labels["response_code"]: sample.value
            for sample in told
            if sample.name == "istio_request_bytes_sum"
        }
        assert received == {"200": 10.0, "404": 5.0}


@live
async def test_clusters_are_counted_by_envoys_names() -> None:
    busy = answers(503)
    policy = {"retries": {"attempts": 2, "backoff": {"base": "0s"}}}
    async with proxied(Upstream(in_turn(busy, busy, answers(), answers())), policy=policy) as rig:
        for _ in range(2):
            await rig.ask()
        text = (await page(rig, "/stats/prometheus"))[1].decode()
        told = dict(line.split(" ") for line in text.splitlines() if '{envoy_cluster_name="cart"' in line)
        assert told == {
            'envoy_cluster_upstream_rq_total{envoy_cluster_name="cart"}': "4",
            'envoy_cluster_upstream_rq_retry{envoy_cluster_name="cart"}': "2",
            'meshsim_cluster_hedges_total{envoy_cluster_name="cart"}': "0",
            'envoy_cluster_outlier_detection_ejections_enforced_total{envoy_cluster_name="cart"}': "0",
            'envoy_cluster_outlier_detection_ejections_active{envoy_cluster_name="cart"}': "0",
            'envoy_cluster_upstream_rq_active{envoy_cluster_name="cart"}': "0",
            'envoy_cluster_upstream_rq_pending_active{envoy_cluster_name="cart"}': "0",
        }


@live
async def test_histograms_are_cumulative_and_add_up() -> None:
    async with proxied() as rig:
        client = await rig.client()
        for _ in range(20):
            await client.ask()
        told = await samples(rig)
        name = "istio_request_duration_milliseconds"
        buckets = [sample.value for sample in told if sample.name == f"{name}_bucket"]
        assert buckets == sorted(buckets)
        assert buckets[-1] == 20 == next(sample.value for sample in told if sample.name == f"{name}_count")
        lasted = next(sample.value for sample in told if sample.name == f"{name}_sum")
        assert 0 < lasted < 20_000


@live
async def test_the_version_that_answered_is_told() -> None:
    upstreams = [Upstream(), Upstream()]
    async with proxied(*upstreams, versions=("v1", "v2"), policy={"split": {"v1": 1, "v2": 1}}) as rig:
        client = await rig.client()
        for _ in range(40):
            await client.ask()
        told = {
            sample.labels["destination_version"]: sample.value
            for sample in await samples(rig)
            if sample.name == "istio_requests_total"
        }
        assert told == {f"v{n}": len(one.requests) for n, one in enumerate(upstreams, 1)}


@live
async def test_a_retried_request_is_one_at_the_source_and_several_at_the_destination() -> None:
    busy = answers(503)
    policy = {"retries": {"attempts": 2, "backoff": {"base": "0s"}}}
    app = Upstream(in_turn(busy, busy, answers()))
    async with proxied(id="frontend/0", app=app) as callee, proxied(policy=policy) as caller:
        caller.proxy.addresses["cart/0"] = ("127.0.0.1", callee.ports["inbound"])
        assert (await caller.ask()).status == 200
        assert list(counts(await samples(caller), "source")) == [("200", "-", 1.0)]
        told = sorted(counts(await samples(callee), "destination"))
        assert told == [("200", "-", 1.0), ("503", "-", 2.0)]


@live
async def test_what_has_no_route_is_counted_apart() -> None:
    async with proxied() as rig:
        await rig.ask(host="nowhere")
        (found,) = [sample for sample in await samples(rig) if sample.name == "istio_requests_total"]
        assert (found.labels["response_code"], found.labels["response_flags"]) == ("404", "NR")
        assert found.labels["destination_service_name"] == "unknown"


@live
async def test_statistics() -> None:
    async with proxied(Upstream(silence), policy={"circuit_breaker": {"max_connections": 1}}) as rig:
        clients = [await rig.client() for _ in range(3)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        await settle(lambda: len(rig.seen) == 1, "one is upstream")
        status, text = await page(rig, "/stats")
        told = json.loads(text)
        assert status == 200
        assert told["active"] == 3
        edge = told["edges"]["client -> cart"]
        assert (edge["active"], edge["pending"], edge["calls"]) == (1, 2, 0)
        for client in clients:
            client.close()
        await rig.at_rest()
        edge = json.loads((await page(rig, "/stats"))[1])["edges"]["client -> cart"]
        assert (edge["active"], edge["pending"], edge["calls"], edge["ok"]) == (0, 0, 3, 0)


@live
async def test_lines_of_the_access_log() -> None:
    async with proxied(Upstream(answers(201, b"made"))) as rig:
        before = datetime.now(UTC)
        await rig.ask(
            "POST", target='/"quoted"?x=\\', body=b"12345", x_request_id="r-1", user_agent='a "b"',
            x_forwarded_for="10.0.0.1",
        )  # fmt: skip
        (line,) = await rig.logged()
        assert set(line) >= FIELDS
        assert line["method"] == "POST"
        assert line["path"] == '/"quoted"?x=\\'
        assert line["protocol"] == "HTTP/1.1"
        assert (line["response_code"], line["response_flags"]) == (201, "-")
        assert line["response_code_details"] == "via_upstream"
        assert (line["bytes_received"], line["bytes_sent"]) == (5, 4)
        assert (line["x_forwarded_for"], line["request_id"], line["authority"]) == ("10.0.0.1", "r-1", "cart")
        assert line["upstream_host"] == f"127.0.0.1:{rig.upstream.port}"
        assert line["upstream_cluster"] == "cart"
        assert 0 <= line["upstream_service_time"] <= line["duration"] + 1
        started = datetime.fromisoformat(line["start_time"])
        assert abs((started - before).total_seconds()) < 5


@live
async def test_a_line_is_in_the_file_at_most_a_second_later() -> None:
    async with proxied() as rig:
        await rig.ask()
        watch = Watch()
        await settle(lambda: rig.log_file.read_text().count("\n") == 1, "the line is written")
        assert watch.ran < 1.5


@live
async def test_the_log_of_an_http_1_0_client() -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(b"GET / HTTP/1.0\r\nhost: cart\r\n\r\n")
        await client.response()
        assert (await rig.logged())[0]["protocol"] == "HTTP/1.0"


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
@live
async def test_promtool_finds_nothing_wrong() -> None:
    assert PROMTOOL is not None
    async with proxied() as rig:
        await rig.ask()
        _, text = await page(rig, "/stats/prometheus")
        done = await asyncio.to_thread(
            subprocess.run, [PROMTOOL, "check", "metrics"], input=text, capture_output=True, check=False
        )
        names = (  # Istio's own, and Envoy's
            "istio_request_duration_milliseconds use base unit",
            'envoy_cluster_upstream_rq_retry counter metrics should have "_total" suffix',
        )
        told = [line for line in done.stderr.decode().splitlines() if not line.startswith(names)]
        assert done.returncode in (0, 3), done.stderr.decode()
        assert not told


@pytest.mark.parametrize("byte", range(256))
def test_what_comes_from_outside_is_one_string_of_the_log(byte: int) -> None:
    for value in (bytes([byte]), b"/a" + bytes([byte]) + b"/b"):
        assert json.loads(written(value)) == value.decode("latin-1")


def test_a_header_that_nobody_sent_is_null() -> None:
    assert written(b"") == "null"


@live
async def test_a_full_disk_costs_lines_of_the_log_and_no_request(capsys: pytest.CaptureFixture[str]) -> None:
    troubles.clear()
    async with proxied() as rig:
        log = AccessLog(Path("/dev/full"), asyncio.get_running_loop())
        for one in rig.proxy.listening.values():
            if isinstance(one.handler, Listener):
                one.handler.shared.log = log
        client = await rig.client()
        for _ in range(2):
            assert (await client.ask()).status == 200
            log.flush()
        assert troubles == {"the access log /dev/full lacks lines: No space left on device": 2}
        assert capsys.readouterr().err.count("No space left on device") == 1
        log.close()


@live
async def test_lines_are_whole_and_in_order_whatever_their_length() -> None:
    """Blocks fill up; one line is longer than a block."""
    async with proxied() as rig:
        client, numbers = await rig.client(), range(300)
        for number in numbers:
            # a byte of it takes six in the file
            agent = "\u00ff" * (BLOCK_BYTES // 12 if number == 200 else 1)
            await client.ask(target=f"/{number}", user_agent=agent)
        first, *more = rig.log_file.read_bytes().split(b"\n")
        assert json.loads(first)["path"] == "/0"
        assert any(len(line) > BLOCK_BYTES for line in more)
        assert more[-1] == b"", "a block ends with a line"
        assert rig.proxy.log is not None
        rig.proxy.log.flush()
        assert [line["path"] for line in rig.log()] == [f"/{number}" for number in numbers]


def test_what_is_remembered_of_values_from_outside_is_bounded() -> None:
    field = Field("<", ">")
    for number in range(3 * REMEMBERED):
        assert field.of(b"%d" % number) == f'<"{number}">'
    assert 0 < len(field._parts) <= REMEMBERED
    field = Field("<", ">")
    for length in (1, REMEMBERED_BYTES, REMEMBERED_BYTES + 1, 60_000):
        assert field.of(b"a" * length) == f'<"{"a" * length}">'
    assert sorted(map(len, field._parts)) == [1, REMEMBERED_BYTES]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:80", "[::1]:80", "10.1.2.3:9"])
@live
async def test_pages_are_told_under_an_address(host: str) -> None:
    async with proxied() as rig:
        answer = await rig.ask(listener="admin", target="/ready", host=host)
        assert (answer.status, answer.get("access-control-allow-origin")) == (200, None)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "1.2.3.4a:80"])
@live
async def test_no_page_is_told_under_a_name(host: str) -> None:
    """A web page's own domain may be made to stand for this machine."""
    async with proxied() as rig:
        for target in ("/ready", "/stats", f"http://{host}/stats"):
            answer = await rig.ask(listener="admin", target=target, host=host)
            assert answer.status in (400, 403)
            assert b"LIVE" not in answer.body
            assert b"{" not in answer.body
