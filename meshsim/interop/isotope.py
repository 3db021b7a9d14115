"""Service graphs of isotope, Istio's performance-test topologies, as scenarios.

An isotope graph says which services there are and what each does when it is called. That maps one to one:

=================================  ==================================================================
isotope                            scenario
=================================  ==================================================================
``name``, ``numReplicas``          a service and its ``replicas``; workers are unlimited, as in isotope;
                                   a name that meshsim does not take is changed, and reported
``errorRate``                      ``errors``, drawn per request (isotope fails every n-th exactly)
``script``                         ``script``: sequence; a nested list is concurrent; a failed call ends it
``call: {probability: 30}``        ``probability: 30%`` (isotope's 0 means always)
``sleep: 1m30s``                   ``sleep: 90s``
``isEntrypoint``                   a ``load`` to it
``defaults``                       filled in where a service is silent
=================================  ==================================================================

A graph says nothing of load, duration or how long a service computes: the caller gives the first two or
gets defaults, the last is 0 as in isotope. Sizes, protocols, RBAC policies and Kubernetes placement have no
meaning in a scenario; every choice made and every key left out is in the notes.

Source:
    istio/tools@0f2e902, isotope/README.md, isotope/convert/pkg/graph and isotope/service/pkg/srv. Where the
    README and the code differ (``default``, ``payloadSize``), the code is followed, and ``payloadSize`` read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from meshsim import units
from meshsim.errors import MeshsimError, ScenarioError, halves, shown
from meshsim.interop.fitting import refuse_unfit, renamed
from meshsim.scenario.document import parse
from meshsim.scenario.findings import Findings
from meshsim.scenario.names import Path, listed, suggestion

RATE, DURATION = "100/s", "60s"
"""What a scenario gets where its maker is silent."""

TOP_KEYS = ("apiVersion", "kind", "defaults", "services")
DEFAULT_KEYS = (
    *("type", "numReplicas", "errorRate", "requestSize", "responseSize", "script"),
    "numRbacPolicies",
)
SERVICE_KEYS = (
    *("name", "isEntrypoint", "numReplicas", "errorRate", "script", "responseSize", "type"),
    *("numRbacPolicies", "namespace", "cluster", "labels"),
)
IGNORED = {
    "defaults": [key for key in SERVICE_KEYS if key not in DEFAULT_KEYS],
    "services": [key for key in DEFAULT_KEYS if key not in SERVICE_KEYS],
}
"""What isotope takes in the other of these places only, and ignores here."""
CALL_KEYS = ("service", "probability", "size", "payloadSize", "hostname", "extra-header")

SIZES = "messages have no size in meshsim"
PLACEMENT = "meshsim places no service and finds each by its name"
LEFT_OUT = {
    **dict.fromkeys(("requestSize", "responseSize", "size", "payloadSize"), SIZES),
    **dict.fromkeys(("namespace", "cluster", "labels", "hostname", "extra-header"), PLACEMENT),
    "numRbacPolicies": "meshsim has no authorization policies yet",
    "type": "meshsim makes no difference between http and grpc",
}
"""Why a key has no counterpart."""

MOST_LINES = 6
GO_DURATION = re.compile(r"\+?((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")
GO_PART = re.compile(r"([0-9.]+)(ns|us|µs|μs|ms|s|m|h)")


def convert(
    text: str, *, name: str, rate: str | None = None, duration: str | None = None, file: str = ""
) -> tuple[dict[str, object], list[str]]:
    """Turn an isotope service graph into a scenario document.

    Args:
        text: the graph, YAML.
        name: of the scenario.
        rate: of the load on each entry point, such as ``100/s``; None takes :data:`RATE`.
        duration: of the scenario, such as ``60s``; None takes :data:`DURATION`.
        file: the graph's file, for messages; by default `name`.

    Returns:
        The document, for `meshsim.scenario.dump` or, as text, `loads`; and notes for its user: what was
        chosen where the graph is silent, and what was left out.

    Raises:
        ScenarioError: the text is not an isotope graph, and the error has all its problems, by line; or no
            scenario can be what it says.
        MeshsimError: `rate` or `duration` is none.
    """
    _check("rate", rate, units.rate)
    _check("duration", duration, units.duration)
    name = name.encode(errors="replace").decode()  # of a file, whose bytes may be no text
    graph = _Graph(text, file or name)
    services, entries = graph.read()
    document: dict[str, object] = {
        "name": name,
        "description": f"The isotope service graph {name}.",
        "duration": duration or DURATION,
        "services": services,
        "load": [{"to": entry, "rate": rate or RATE} for entry in entries],
    }
    refuse_unfit(document, file or name)
    return document, [*_choices(entries, rate, duration), *graph.notes()]


def _check(what: str, value: str | None, parse_unit: Callable[[object], float]) -> None:
    """Refuse a value that the scenario could not use; nothing else would name it rightly."""
    try:
        if value is not None and not parse_unit(value) > 0:
            raise ValueError(f"{shown(value)} is not more than 0; write a larger one")
    except ValueError as error:
        message, remedy = halves(error)
        raise MeshsimError(f"{what}: {message} ({remedy})") from None


def _choices(entries: Sequence[str], rate: str | None, duration: str | None) -> list[str]:
    """What was chosen because isotope graphs don't say it."""
    each = " each" if len(entries) > 1 else ""
    load = f"load: {rate or RATE}{each}, Poisson, to {listed(entries, 'and')}"
    return [
        load + ("; a graph has no load, so this rate is a default" if rate is None else ""),
        *([f"duration: {DURATION}; a graph has none, so this is a default"] if duration is None else []),
        "time: 0s in every service: in isotope only sleep takes time; set services.X.time, links, mesh.proxy",
    ]


class _Graph:
    """Reads a graph, gathering all problems and all that has no counterpart."""

    def __init__(self, text: str, file: str) -> None:
        if not text.strip():
            raise ScenarioError.at(file, 0, "is empty", "give an isotope graph: a list of services")
        self._document = parse(text, file)
        self._findings = Findings(self._document)
        self._defaults: dict[str, Any] = {}
        self._left_out: dict[str, dict[str, list[int]]] = {}
        self._decided: list[str] = []
        self._called: set[str] = set()
        self._names: list[str] = []
        self._renamed: dict[str, str] = {}

    def read(self) -> tuple[dict[str, object], list[str]]:
        """The services by name, and which of them load goes to; a ScenarioError if anything is wrong."""
        top = self._document.value
        self._check_kind(top)
        self._keys((), top, TOP_KEYS)
        if top.get("defaults") is not None:
            self._defaults = self._keys(("defaults",), top["defaults"], DEFAULT_KEYS)
        raw = enumerate(top["services"])
        config = [self._keys(("services", index), entry, SERVICE_KEYS) for index, entry in raw]
        self._names = self._read_names(config)
        self._renamed = renamed(self._names)
        services: dict[str, object] = {
            self._renamed[name]: self._service(index, config[index]) for index, name in enumerate(self._names)
        }
        entries = [self._renamed[name] for name in self._entries(config)]
        self._findings.raise_any()
        return services, entries

    def notes(self) -> list[str]:
        """What was decided and left out while reading, a sentence each."""
        changed = [
            f"renamed: {shown(name)} to {new}, since meshsim does not take the name"
            for name, new in self._renamed.items()
            if new != name
        ]
        return [*changed, *self._decided, *(self._note(*entry) for entry in self._left_out.items())]

    def _note(self, reason: str, keys: dict[str, list[int]]) -> str:
        lines = sorted({line for found in keys.values() for line in found})
        more = ", ..." if len(lines) > MOST_LINES else ""
        places = f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines[:MOST_LINES]))}{more}"
        return f"left out: {', '.join(keys)} ({places}): {reason}"

    # ---- the file as a whole ------------------------------------------------------------------------

    def _check_kind(self, top: dict[str, Any]) -> None:
        """Refuse at once what is some other kind of file: its keys would only make noise."""
        kind = top.get("kind", "MockServiceGraph")
        if kind != "MockServiceGraph":
            message = f"{shown(kind)} is not an isotope graph"
            self._refuse(("kind",), message, "isotope's kind is MockServiceGraph")
        if "services" not in top:
            remedy = suggestion(next(iter(top), ""), TOP_KEYS)
            self._refuse((), "is not an isotope graph: it has no services", remedy)
        if not isinstance(top["services"], list) or not top["services"]:
            what = "a mapping" if isinstance(top["services"], dict) else shown(top["services"])
            message = f"is not an isotope graph: services is {what}"
            self._refuse(("services",), message, "isotope lists them: - name: a")

    def _refuse(self, path: Path, message: str, remedy: str) -> None:
        self._findings.add(path, message, remedy)
        self._findings.raise_any()

    def _keys(self, path: Path, value: object, known: tuple[str, ...]) -> dict[str, Any]:
        """A mapping whose keys are all known; those without a counterpart are noted."""
        if not isinstance(value, dict):
            self._unfit(path, value, "a mapping", f"write keys such as {listed(known[:3])}")
            return {}
        for key in value:
            if path and known != CALL_KEYS and key in IGNORED[str(path[0])]:
                self._leave_out((*path, key), "isotope ignores it there")
            elif key not in known:
                self._findings.add((*path, key), "unknown key", suggestion(key, known))
            elif key in LEFT_OUT:
                self._leave_out((*path, key), LEFT_OUT[key])
        if value.get("type", "http") not in ("http", "grpc"):
            self._findings.add((*path, "type"), f"no type {shown(value['type'])}", "write http or grpc")
        return value

    def _unfit(self, path: Path, value: object, what: str, remedy: str) -> None:
        self._findings.add(path, f"{shown(value)} is not {what}", remedy)

    def _leave_out(self, path: Path, reason: str) -> None:
        lines = self._left_out.setdefault(reason, {}).setdefault(str(path[-1]), [])
        lines.append(self._document.place(path)[1])

    # ---- services -----------------------------------------------------------------------------------

    def _read_names(self, config: list[dict[str, Any]]) -> list[str]:
        """Each service's name; one that has none or another's gets a name of its own, and a problem."""
        names: list[str] = []
        for index, entry in enumerate(config):
            path: Path = ("services", index, "name")
            name = entry.get("name")
            if not isinstance(name, str) or not name:
                message = "is missing" if name in (None, "") else f"{shown(name)} is not text"
                self._findings.add(path, message, "give every service a name")
                name = f"#{index}"
            elif name in names:
                self._findings.add(path, f"there is already a service {shown(name)}", "rename one of them")
                name = f"#{index}"
            names.append(name)
        return names

    def _service(self, index: int, entry: dict[str, Any]) -> dict[str, object]:
        service: dict[str, object] = {}
        path, replicas = self._look_up(index, entry, "numReplicas")
        if replicas is not None:
            if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 1:
                self._unfit(path, replicas, "a number of replicas", "write a whole number from 1 on")
            elif replicas != 1:
                service["replicas"] = replicas
        service["time"] = "0s"
        path, errors = self._look_up(index, entry, "errorRate")
        if errors is not None and self._parsed(path, errors, units.ratio):
            service["errors"] = errors
            self._decide("errorRate: drawn for each request; isotope fails every n-th exactly")
        path, script = self._look_up(index, entry, "script")
        if stages := self._script(path, script):
            service["script"] = stages
        return service

    def _look_up(self, index: int, entry: dict[str, Any], key: str) -> tuple[Path, Any]:
        """A service's value, or the defaults', and where it stands."""
        if entry.get(key) is not None:
            return ("services", index, key), entry[key]
        return ("defaults", key), self._defaults.get(key)

    def _parsed(self, path: Path, value: object, parse_unit: Callable[[object], float]) -> float | None:
        try:
            return parse_unit(value)
        except ValueError as error:
            self._findings.add(path, *halves(error))
            return None

    def _decide(self, note: str) -> None:
        if note not in self._decided:
            self._decided.append(note)

    def _entries(self, config: list[dict[str, Any]]) -> list[str]:
        """The entry points; where none is marked, the services that nobody calls."""
        entries = []
        for index, entry in enumerate(config):
            marked = entry.get("isEntrypoint", False)
            if not isinstance(marked, bool):
                path = ("services", index, "isEntrypoint")
                self._findings.add(path, f"{shown(marked)} is neither true nor false", "write true or false")
            elif marked:
                entries.append(self._names[index])
        if entries:
            return entries
        entries = [name for name in self._names if name not in self._called]
        if not entries:
            remedy = "write isEntrypoint: true in one"
            self._findings.add(("services",), "no service is an entry point", remedy)
        self._decide("entry point: no service is marked isEntrypoint, so load goes to what nobody calls")
        return entries

    # ---- scripts ------------------------------------------------------------------------------------

    def _script(self, path: Path, script: object) -> list[object]:
        """A script's stages; what is concurrent stays a list of its own."""
        if script is None:
            return []
        if not isinstance(script, list):
            self._unfit(path, script, "a script", "write - call: a and - sleep: 10ms")
            return []
        stages: list[object] = []
        for index, command in enumerate(script):
            read = self._concurrent if isinstance(command, list) else self._command
            stages += read((*path, index), command)
        return stages

    def _concurrent(self, path: Path, commands: Any) -> list[object]:
        """A stage of commands that start together, or nothing if there are none."""
        steps: list[object] = []
        for index, command in enumerate(commands):
            if isinstance(command, list):
                self._findings.add((*path, index), "a list in a list in a script", "isotope nests them once")
            else:
                steps += self._command((*path, index), command)
        return [steps] if steps else []

    def _command(self, path: Path, command: object) -> list[object]:
        if not isinstance(command, dict) or len(command) != 1:
            what = "a step of several commands" if isinstance(command, dict) else shown(command)
            self._findings.add(path, f"{what} is not a command", "write - call: a or - sleep: 10ms")
            return []
        ((kind, value),) = command.items()
        if kind == "call":
            return self._call((*path, kind), value)
        if kind == "sleep":
            return self._sleep((*path, kind), value)
        self._findings.add((*path, kind), f"no command {shown(kind)}", suggestion(kind, ("call", "sleep")))
        return []

    def _call(self, path: Path, value: object) -> list[object]:
        """`call: a`, or `call: {service: a, probability: 30}`."""
        options = {"service": value} if isinstance(value, str) else self._keys(path, value, CALL_KEYS)
        service = options.get("service")
        if service not in self._names:
            if isinstance(service, str):
                self._findings.add_unknown(path, "service", service, self._names)
            elif options:
                self._findings.add(path, "names no service", "write call: a or call: {service: a}")
            return []
        self._called.add(service)
        step: dict[str, object] = {"call": self._renamed[service]}
        probability = options.get("probability", 0)
        if not isinstance(probability, int) or isinstance(probability, bool) or not 0 <= probability <= 100:
            remedy = "write a whole number of percent, 1 to 100"
            self._unfit((*path, "probability"), probability, "a valid probability", remedy)
        elif 0 < probability < 100:
            step["probability"] = f"{probability}%"
        return [step]

    def _sleep(self, path: Path, value: object) -> list[object]:
        """`sleep:` and a duration as Go writes them, parts and all: `1m30s`."""
        text = value.strip() if isinstance(value, str) else ""
        if text == "0":
            return []
        if not GO_DURATION.fullmatch(text):
            self._unfit(path, value, "a valid duration", "write one such as 100ms, 1.5s or 1m30s")
            return []
        parts = GO_PART.findall(text.replace("μ", "µ"))
        if len(parts) == 1:
            return [{"sleep": "".join(parts[0])}]
        seconds = sum(float(number) * units.SECONDS[unit] for number, unit in parts)
        return [{"sleep": f"{seconds:.12g}s"}]
