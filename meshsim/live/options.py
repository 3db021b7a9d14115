"""How a live mesh is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meshsim.live.child import ROLES

SpanSink = Callable[[str, bytes, int], None]
"""Is called with a process's id, its new spans, packed (`measure.spans.Spans`), and how many it lost."""
Progress = Callable[[str], None]
"""Is called with what is being done, in a few words."""


@dataclass(frozen=True, slots=True)
class TraceReceiver:
    """The `url` of an OTLP receiver, and `headers` that it wants."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Options:
    """How a mesh is run: behind which `proxy` (``meshsim`` or ``envoy``), and where it listens.

    Without `load` it only serves; `keep`: rows are kept; `access_log` is a folder; `roles` says where the
    class of each role is. `intercept`: replicas behind sidecars are in pods. `spans` gets what processes hand
    over as they run; an Envoy sends its own to the `receiver`.
    """

    proxy: str = "meshsim"
    load: bool = True
    keep: bool = True
    access_log: Path | None = None
    host: str = "127.0.0.1"
    roles: Mapping[str, str] = field(default_factory=lambda: ROLES)
    intercept: bool = False
    spans: SpanSink | None = None
    receiver: TraceReceiver | None = None
