"""Scrape configurations, from a URL or from what a live mesh says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from meshsim.errors import MeshsimError
from meshsim.lab.observe.scrape import configuration

READY: dict[str, Any] = {
    "ready": True,
    "proxies": [
        {"id": "client/0", "inbound": None, "admin": "http://127.0.0.1:4001"},
        {"id": "cart/v1/0", "inbound": "http://127.0.0.1:5000", "admin": "http://127.0.0.1:4002"},
    ],
}

BAD = [
    "http://nowhere",
    "http://[::1",
    "http://a:b",
    "{}",
    "[]",
    "x",
    '{"proxies": [1]}',
    '{"proxies": [{"admin": 1}]}',
]


def targets(text: str) -> list[dict[str, Any]]:
    (job,) = YAML(typ="safe").load(text)["scrape_configs"]
    assert job["metrics_path"] == "/stats/prometheus"
    found: list[dict[str, Any]] = job["static_configs"]
    return found


def ready(folder: Path, **more: Any) -> str:
    file = folder / "ready.json"
    file.write_text(json.dumps({**READY, **more}) + "\nand what live prints later", encoding="utf-8")
    return str(file)


def test_a_url_is_one_merged_page() -> None:
    assert targets(configuration("http://127.0.0.1:15014/status")) == [{"targets": ["127.0.0.1:15014"]}]


def test_without_a_control_plane_each_proxy_is_scraped_with_its_name(tmp_path: Path) -> None:
    assert targets(configuration(ready(tmp_path))) == [
        {"targets": ["127.0.0.1:4001"], "labels": {"pod": "client/0", "app": "client"}},
        {"targets": ["127.0.0.1:4002"], "labels": {"pod": "cart/v1/0", "app": "cart"}},
    ]


def test_a_control_planes_page_is_enough_unless_each_is_wanted(tmp_path: Path) -> None:
    source = ready(tmp_path, control_plane={"pid": 1, "url": "http://127.0.0.1:6000"})
    assert targets(configuration(source)) == [{"targets": ["127.0.0.1:6000"]}]
    assert len(targets(configuration(source, each_proxy=True))) == 2


def test_a_url_says_nothing_of_each_proxy() -> None:
    with pytest.raises(MeshsimError, match="give the first line of meshsim live --json"):
        configuration("http://127.0.0.1:15014", each_proxy=True)


@pytest.mark.parametrize("source", [*BAD, "nothing.json"])
def test_what_is_neither_is_refused_with_a_remedy(source: str, tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_text(source, encoding="utf-8")
    with pytest.raises(MeshsimError, match="give the URL of a page"):
        configuration(source if source.startswith("http") or source == "nothing.json" else str(file))
