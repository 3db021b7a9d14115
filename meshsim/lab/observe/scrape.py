"""A Prometheus configuration that scrapes a running mesh: one merged page, or each proxy's own.

Source: Prometheus, Configuration, ``scrape_config``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from meshsim.errors import MeshsimError, shown
from meshsim.measure.exposition import of_proxy

PATH = "/stats/prometheus"
INTERVAL = "5s"
REMEDY = "give the URL of a page such as http://127.0.0.1:15014, or the first line of meshsim live --json"

Target = tuple[str, Mapping[str, str]]
"""``host:port``, and the labels that its series get."""


def configuration(source: str, *, each_proxy: bool = False) -> str:
    """The YAML for a merged page (a URL), or for the mesh that a file's line of `live --json` is about.

    Of such a mesh the control plane's page is scraped where there is one, unless it shall be `each_proxy`.
    MeshsimError: the source is neither, or a URL where each proxy is asked for.
    """
    if source.startswith(("http://", "https://")):
        if each_proxy:
            raise MeshsimError(
                "a URL does not say where each proxy is; give the first line of meshsim live --json, or leave"
                " --each-proxy out"
            )
        return text([(address(source), {})])
    message = _message(source)
    try:
        plane = message.get("control_plane")
        if plane and not each_proxy:
            return text([(address(plane["url"]), {})])
        proxies = [(each["id"], each["admin"]) for each in message["proxies"] if each.get("admin")]
        return text([(address(admin), of_proxy(id_)) for id_, admin in proxies])
    except (AttributeError, KeyError, TypeError):
        raise MeshsimError(f"{source} does not say where its proxies are; {REMEDY}") from None


def address(url: str) -> str:
    """The ``host:port`` of a URL; MeshsimError where there is none."""
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port:
            return parts.netloc.rpartition("@")[2]
    except ValueError:
        pass
    raise MeshsimError(f"{shown(url)} is no URL with a host and a port; {REMEDY}")


def text(targets: list[Target]) -> str:
    """The configuration that scrapes these targets."""
    lines = [
        "# prometheus --config.file=FILE",
        "scrape_configs:",
        "  - job_name: meshsim",
        f"    scrape_interval: {INTERVAL}",
        f"    metrics_path: {PATH}",
        "    honor_labels: true  # a merged page says itself which pod a series is of",
        "    static_configs:",
    ]
    for target, labels in targets:
        lines.append(f"      - targets: [{json.dumps(target)}]")
        if labels:
            listed = ", ".join(f"{name}: {json.dumps(value)}" for name, value in labels.items())
            lines.append(f"        labels: {{{listed}}}")
    return "\n".join(lines) + "\n"


def _message(source: str) -> dict[str, Any]:
    """The first line of what `live --json` has printed."""
    try:
        with Path("/dev/stdin" if source == "-" else source).open(encoding="utf-8") as lines:
            message = json.loads(lines.readline())
        if isinstance(message, dict) and isinstance(message.get("proxies"), list):
            return message
    except OSError as error:
        raise MeshsimError(f"can't read {source}: {error.strerror}; {REMEDY}") from None
    except ValueError:
        pass
    raise MeshsimError(f"{source} does not begin with the line of a running mesh; {REMEDY}")
