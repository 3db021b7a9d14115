"""The options that several verbs have, each declared once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from meshsim.errors import MeshsimError

if TYPE_CHECKING:
    from meshsim.lab.output import OutputOptions, RunOutputOptions
    from meshsim.scenario.model import Scenario

LEAST, AT_MOST = 10, 200
"""Of `meshsim.measure.precision`, repeated: importing it takes longer than --help may."""

ScenarioFile = Annotated[str, Argument(metavar="SCENARIO", help="A YAML file, or - for standard input.")]
Overrides = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a value of the scenario, such as policies.cart.timeout=2s; may be repeated.",
    ),
]
Until = Annotated[
    str | None,
    Option(metavar="SHARE", help="Add replications until the interval is this narrow, such as 1%."),
]
AtMost = Annotated[
    int | None,
    Option(metavar="N", help=f"With --until: replications in all, at most; {AT_MOST} if not given."),
]
Engine = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="auto, fast, simpy or reference, instead of the scenario's.",
        autocompletion=lambda: ["auto", "fast", "simpy", "reference"],
    ),
]
Seed = Annotated[int | None, Option(help="Of the first replication, instead of the scenario's.")]
Jobs = Annotated[int | None, Option(metavar="N", help="Processes; by default one for each core.")]
Quiet = Annotated[bool, Option("--quiet", help="Print neither tables nor progress.")]
AsJson = Annotated[bool, Option("--json", help="Print JSON for machines instead of tables for people.")]
Check = Annotated[bool, Option("--check", help="Exit with 1 if an objective is missed.")]
Replications = Annotated[
    int, Option(help="Independent runs, each with the next seed; from 2 on there are intervals.")
]
Paths = Annotated[
    list[str], Argument(metavar="PATH...", help="YAML files, folders with some, or - for standard input.")
]
JUnit = Annotated[
    Path | None,
    Option("--junit", metavar="FILE", help="Write verdicts as JUnit XML, for systems that run tests."),
]
Formats = Annotated[
    str | None,
    Option(
        "--format",
        metavar="NAMES",
        help="Of pictures: png, svg or pdf, or several, such as svg,pdf; png if not given.",
        autocompletion=lambda: ["png", "svg", "pdf"],
    ),
]
Dpi = Annotated[
    int | None, Option(metavar="N", help="Dots per inch of pictures, 20 to 600; 100 if not given.")
]
Otlp = Annotated[
    str | None,
    Option("--otlp", metavar="URL", help="Send spans to an OTLP receiver, such as http://127.0.0.1:4318."),
]
MetricsEvery = Annotated[
    str | None,
    Option(
        "--metrics-every",
        metavar="TIME",
        help="Write metrics.om too: the metrics over time, with a sample each 1s or so, for Prometheus.",
    ),
]
OPTIONS = {"formats": "--format", "dpi": "--dpi", "csv": "--csv", "metrics_every": "--metrics-every"}
"""Those of `meshsim.lab.output`, by name."""
Csv = Annotated[bool, Option("--csv", help="Write each table as CSV too, with every digit.")]


@dataclass(frozen=True)
class Output:
    """Where results go: into a folder, unless `out` is None, and to machines, people or nobody."""

    out: Path | None
    forms: OutputOptions
    as_json: bool
    quiet: bool

    def fitting(self, scenario: Scenario) -> Scenario:
        """The scenario, whose run can be written so; MeshsimError where it can't."""
        from meshsim.lab.output import output as checked  # noqa: PLC0415 - slow to import

        checked(self.forms, of_run=True).check_samples(scenario)
        return scenario


def output(
    out: Path | None,
    formats: str | None,
    dpi: int | None,
    csv: bool,
    as_json: bool,
    quiet: bool,
    metrics_every: str | None = None,
) -> Output:
    """The options as given; a MeshsimError where one can't be used, or has no effect without a folder."""
    from meshsim.lab.output import output as check  # noqa: PLC0415 - slow to import

    forms: RunOutputOptions = {}
    if formats is not None:
        forms["formats"] = formats
    if dpi is not None:
        forms["dpi"] = dpi
    if csv:
        forms["csv"] = True
    if metrics_every is not None:
        forms["metrics_every"] = metrics_every
    if forms and out is None:
        given = ", ".join(OPTIONS[name] for name in forms)
        raise MeshsimError(f"{given}: of files, and none are written; add --out DIR, or leave it out")
    check(forms, of_run=True)
    return Output(out, forms, as_json, quiet)
