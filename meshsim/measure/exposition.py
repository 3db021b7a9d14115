"""Prometheus's text format: metrics as a page, and the pages of many proxies as one.

The values of labels may come from outside: whatever they hold, a page stays one. Where pages are merged each
keeps its series apart by labels of its own (``pod``, ``app``), since counters of several proxies can't be
added up: the sum would fall when one of them ends.

Source: Prometheus, Exposition formats, text format 0.0.4; `honor_labels` for a label that is there already.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Generic, TypeVar

from meshsim.measure.grid import Floats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LARGEST = 16 << 20
"""Of a page that is merged, bytes."""
FAILED = "meshsim_scrape_failed"
"""Of each merged page: 1 where it did not come, or is none."""

Labels = Mapping[str, str]
V = TypeVar("V", float, Floats)

_NAME = rb"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = rb'([a-zA-Z_][a-zA-Z0-9_]*)="(?:[^"\\\n]|\\[\\n"])*"'
_VALUE = rb"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|Inf|NaN)"
_LABELS = rb"(?:%b(?:,%b)*,?)?" % (_LABEL, _LABEL)
_SAMPLE = re.compile(rb"(%b)(?:\{(%b)\})?[ \t]+(%b)(?:[ \t]+-?[0-9]+)?" % (_NAME, _LABELS, _VALUE))
_ONE_LABEL = re.compile(_LABEL)
_ABOUT = re.compile(rb"# (HELP|TYPE) (%b) ?(.*)" % _NAME)
_PARTS = {b"histogram": (b"_bucket", b"_sum", b"_count"), b"summary": (b"_sum", b"_count")}


@dataclass(slots=True)
class Family(Generic[V]):
    """A metric: `kind` is ``counter``, ``gauge`` or ``histogram``; samples are (suffix, labels, value).

    A value is a number, or has one for each of several times.
    """

    name: str
    kind: str
    help: str
    samples: list[tuple[str, Labels, V]] = field(default_factory=list)

    def add(self, labels: Labels, value: V) -> None:
        """One more series of a counter or a gauge."""
        self.samples.append(("", labels, value))

    def add_histogram(self, labels: Labels, bounds: Iterable[float], counts: Iterable[V], total: V) -> None:
        """One more histogram: how many fell below each bound and above the one before, and above the last."""
        for bound, below in zip((*bounds, math.inf), accumulate(counts), strict=True):
            self.samples.append(("_bucket", {**labels, "le": number(bound)}, below))
        self.samples.append(("_sum", labels, total))
        self.samples.append(("_count", labels, below))


Metric = Family[float]
MetricOverTime = Family[Floats]
"""Values are (T,): what it was at each of T times."""


def latest(metrics: Iterable[MetricOverTime]) -> list[Metric]:
    """Metrics as they were at the last of their times."""
    return [
        Metric(
            each.name,
            each.kind,
            each.help,
            [(suffix, labels, float(value[-1])) for suffix, labels, value in each.samples],
        )
        for each in metrics
    ]


def of_proxy(id_: str) -> dict[str, str]:
    """The labels that tell a proxy's series from others', as Kubernetes' service discovery would set them."""
    return {"pod": id_, "app": id_.partition("/")[0]}


def number(value: float) -> str:
    """A value as the format has it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def escaped(value: str) -> str:
    """The value of a label, between its quotes."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def page(metrics: Iterable[Metric]) -> bytes:
    """The page of some metrics; those without samples are left out."""
    lines = []
    for metric in metrics:
        if not metric.samples:
            continue
        words = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
        lines += [f"# HELP {metric.name} {words}", f"# TYPE {metric.name} {metric.kind}"]
        for suffix, labels, value in metric.samples:
            lines.append(f"{metric.name}{suffix}{braced(labels)} {number(value)}")
    return "".join(f"{line}\n" for line in lines).encode(errors="replace")


def braced(labels: Labels) -> str:
    """The labels of a sample."""
    return f"{{{_listed(labels)}}}" if labels else ""


def _listed(labels: Labels) -> str:
    return ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())


@dataclass(slots=True)
class _Lines:
    """Lines of one family, its description aside."""

    kind: bytes = b"untyped"
    help: bytes = b""
    lines: list[bytes] = field(default_factory=list)


def merged(pages: Iterable[tuple[Labels, bytes | None]]) -> bytes:
    """One page of many, each with the labels that its series get, no two with the same.

    None stands for a page that did not come. Such a one, one that is larger than `LARGEST`, and one that is
    no page are left out, and counted in :data:`FAILED`.
    """
    families: dict[bytes, _Lines] = {}
    failed = Metric(FAILED, "gauge", "Whether the metrics of a proxy did not come, or could not be read.")
    for labels, text in pages:
        found = None if text is None or len(text) > LARGEST else _read(text, labels)
        if found is not None and any(
            name in families and families[name].kind != family.kind for name, family in found.items()
        ):
            found = None
        for name, family in (found or {}).items():
            known = families.setdefault(name, _Lines(family.kind, family.help))
            known.lines += family.lines
        if labels:
            failed.add(labels, found is None)
    families.pop(FAILED.encode(), None)
    lines = []
    for name, family in sorted(families.items()):
        if family.lines:
            lines += [b"# HELP %b %b" % (name, family.help)] if family.help else []
            lines += [b"# TYPE %b %b" % (name, family.kind), *family.lines]
    return b"".join(b"%b\n" % line for line in lines) + page([failed])


def _read(text: bytes, labels: Labels) -> dict[bytes, _Lines] | None:
    """The families of a page, whose samples have got these labels; None if it is no page."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return None
    more, names = _listed(labels).encode(errors="replace"), [name.encode() for name in labels]
    families: dict[bytes, _Lines] = {}
    seen: set[tuple[bytes, bytes]] = set()
    for line in text.split(b"\n"):
        about = _ABOUT.fullmatch(line)
        if about is not None:
            family = families.setdefault(about[2], _Lines())
            if about[1] == b"HELP":
                family.help = about[3]
            else:
                family.kind = about[3]
        elif line.strip() and not line.startswith(b"#"):
            sample = _SAMPLE.fullmatch(line)
            own = sample and _renamed(sample[2] or b"", names)
            if sample is None or own is None or (sample[1], own) in seen:
                return None
            seen.add((sample[1], own))
            listed = b",".join(part for part in (more, own.rstrip(b",")) if part)
            rest = line[sample.end(2) + 1 if sample[2] is not None else sample.end(1) :]
            braces = b"{%b}" % listed if listed else b""
            _family_of(sample[1], families).lines.append(sample[1] + braces + rest)
    return families


def _family_of(name: bytes, families: dict[bytes, _Lines]) -> _Lines:
    """The family that a sample belongs to."""
    for kind, suffixes in _PARTS.items():
        for suffix in suffixes:
            known = families.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
            if known is not None and known.kind == kind:
                return known
    return families.setdefault(name, _Lines())


def _renamed(own: bytes, names: list[bytes]) -> bytes | None:
    """Labels of a sample, those `names` with ``exported_`` before them; None where one is there twice."""
    if not own:
        return own
    found = [(match[1], match[0]) for match in _ONE_LABEL.finditer(own)]
    if any(name in names for name, _ in found):
        found = [
            (b"exported_" + name, b"exported_" + text) if name in names else (name, text)
            for name, text in found
        ]
        own = b",".join(text for _, text in found)
    return own if len({name for name, _ in found}) == len(found) else None
