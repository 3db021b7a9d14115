"""The verb ``capacity``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Exit, Option

from meshsim import units
from meshsim.cli import options
from meshsim.cli.app import INTERRUPTED, app, example, present, report, reporting_errors, say, stopping, warn
from meshsim.errors import MeshsimError, shown

if TYPE_CHECKING:
    from meshsim.lab.capacity import Capacity


Find = Annotated[
    list[str] | None,
    Option(metavar="WHAT", help="load, replicas or recovery, repeatable; by default load and replicas."),
]
Objectives = Annotated[
    list[str] | None,
    Option(metavar="TEXT", help='In place of the scenario\'s: "cart: p99 <= 250ms, success >= 99.9%".'),
]
Costs = Annotated[
    list[str] | None,
    Option(metavar="SERVICE=NUMBER", help="Of a replica, 1 where not given; may be repeated."),
]
Map = Annotated[
    list[str] | None,
    Option("--map", metavar="KEY=VALUES", help="Twice: a map of recovery; values as V1,V2 or A:B:N."),
]
Window = Annotated[
    str | None,
    Option(
        metavar="DURATION",
        help="Recovery is judged so long before arrivals stop; by default a third of what is left.",
    ),
]
Confidence = Annotated[str, Option(metavar="RATIO", help="That each verdict is right.")]
Resolution = Annotated[
    str, Option(metavar="RATIO", help="How near a load that meets and one that misses are to be.")
]
AtMost = Annotated[
    int, Option(metavar="N", help="Replications of a load or of replicas, at most; the first look has 4.")
]
Out = Annotated[
    Path | None, Option(metavar="DIR", help="Folder for capacity.json, every run, and the pictures.")
]


@app.command(
    epilog=example(
        'meshsim capacity shop.yaml --objective "frontend: p99 <= 100ms" --cost cart=2.5 --out out'
    )
    + '\n  meshsim capacity metastable.yaml --map "load[0].rate=20/s:100/s:9" \\'
    + "\n      --map policies.backend.retries.attempts=0,1,2,3 --out out"
)
def capacity(
    scenario: options.ScenarioFile,
    find: Find = None,
    objective: Objectives = None,
    cost: Costs = None,
    map_: Map = None,
    window: Window = None,
    confidence: Confidence = "95%",
    resolution: Resolution = "2%",
    at_most: AtMost = 32,
    jobs: options.Jobs = None,
    engine: options.Engine = None,
    seed: options.Seed = None,
    overrides: options.Overrides = None,
    out: Out = None,
    formats: options.Formats = None,
    dpi: options.Dpi = None,
    csv: options.Csv = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Find how much load, or how few replicas, meet the objectives.

    Each load is run until it is clear whether it meets them, and the answer is checked with fresh seeds. Also
    finds the knee of the load-latency curve, and below which load the mesh recovers from the scenario's
    events. Ctrl-C ends the search and keeps what is known so far; a second one aborts.
    """
    with reporting_errors(as_json):
        from meshsim.lab.capacity import capacity as search  # noqa: PLC0415

        warn(engine)
        output = options.output(out, formats, dpi, csv, as_json, quiet)
        measures = _options(cost, map_, window, confidence, resolution)
        result = search(
            scenario, find=find or (), objectives=objective or (), at_most=at_most, engine=engine, seed=seed,
            overrides=overrides or (), jobs=jobs, out=out, say=None if quiet else report,
            interrupted=stopping, **measures,
        )  # fmt: skip
        present(result, result.answer, partial(_show, result), output)
    if result.numbers.partial:
        say("interrupted; this is what is known so far")
        raise Exit(INTERRUPTED)


def _options(
    cost: list[str] | None, map_: list[str] | None, window: str | None, confidence: str, resolution: str
) -> dict[str, Any]:
    """The options that are written with units, by the names that the search has for them."""
    readers: dict[str, tuple[str, Callable[[], object]]] = {
        "--cost": ("costs", lambda: dict(map(_cost, cost or ()))),
        "--map": ("vary", lambda: _axes(map_ or ())),
        "--window": ("window", lambda: None if window is None else units.duration(window)),
        "--confidence": ("confidence", lambda: units.ratio(confidence)),
        "--resolution": ("resolution", lambda: units.ratio(resolution)),
    }
    found: dict[str, Any] = {}
    for option, (name, reader) in readers.items():
        try:
            found[name] = reader()
        except ValueError as error:
            raise MeshsimError(f"{option}: {error}") from None
    return found


def _axes(texts: Sequence[str]) -> dict[str, object]:
    from meshsim.scenario.variation import variation  # noqa: PLC0415

    found: dict[str, object] = {}
    for key, values in map(variation, texts):
        if key in found:
            raise ValueError(f"{key} is given twice; give it all its values at once, and the map another key")
        found[key] = values
    return found


def _cost(text: str) -> tuple[str, float]:
    name, equals, number = text.rpartition("=")
    try:
        return name.strip(), float(number) if equals else float("nope")
    except ValueError:
        wrong = f"{shown(text)} is not a valid cost; write SERVICE=NUMBER, such as cart=2.5"
        raise ValueError(wrong) from None


def _show(result: Capacity, written: list[Path]) -> None:
    from meshsim.lab.show.capacity import objectives, sections  # noqa: PLC0415
    from meshsim.lab.show.terminal import console, escape, show, show_written  # noqa: PLC0415

    out, found = console(), result.numbers
    wanted = objectives(found)
    out.print(f"[bold]{escape(found.scenario or 'scenario')}[/]{escape(': ' + wanted if wanted else '')}\n")
    for title, sentences, sheet in sections(found):
        out.print(f"[bold]{escape(title)}[/]")
        for sentence in sentences:
            out.print(f"  {escape(sentence)}")
        out.print()
        show(out, sheet)
    span = f", seeds {found.seeds[0]} to {found.seeds[1]}" if found.seeds else ""
    out.print(f"[dim]meshsim {found.version}, {found.runs} runs{span}[/]")
    show_written(out, written)
