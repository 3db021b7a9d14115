"""The policy laws of SEMANTICS 13, measured on a real Envoy and on meshsim's proxy, side by side.

    python tests/laws [LAW...] [--subject envoy|meshsim]... [--save FILE] [--markdown]
    python tests/laws --load FILE --markdown

Each law forces a mechanism with scripted upstream hosts and a client, all in this process, and compares what
the proxy did with what SEMANTICS says: exactly where the law is exact, by a test with a false alarm in a
thousand where it is one of chance. The two proxies are configured from the same policies. All laws take a few
minutes; each runs alone by its name. The exit status is 1 if a proxy breaks a law.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # for what laws share with other tests

import access
import backoff
import codes
import connections
import defaults
import ejection
import limits
import merging
import messages
import mtls
import overflow
import picks
import pools
import races
import rates
from findings import Finding
from subjects import SUBJECTS, Subject

LAWS: dict[str, Callable[[Subject], Awaitable[list[Finding]]]] = {
    "codes": codes.measure,
    "backoff": backoff.measure,
    "overflow": overflow.measure,
    "ejection": ejection.measure,
    "detectors": rates.measure,
    "merge-window": merging.measure,
    "pools": pools.measure,
    "races": races.measure,
    "connections": connections.measure,
    "picks": picks.measure,
    "previous-hosts": picks.measure_previous_hosts,
    "split": picks.measure_split,
    "rate-limit": limits.measure_rate,
    "slots": limits.measure_slots,
    "budget": limits.measure_budget,
    "mtls": mtls.measure,
    "access": access.measure,
    "messages": messages.measure,
    "defaults": defaults.measure,
}
Results = dict[str, list[Finding]]
"""Findings by subject."""


async def measure(names: list[str], subjects: list[str]) -> Results:
    """Measures laws on subjects, one after the other."""
    results: Results = {SUBJECTS[subject].name: [] for subject in subjects}
    for name in names:
        for subject in (SUBJECTS[each]() for each in subjects):
            began = time.monotonic()
            print(f"{name} on {subject.name} ...", end="", file=sys.stderr, flush=True)
            found = await LAWS[name](subject)
            broken = sum(not finding.agrees for finding in found)
            took = time.monotonic() - began
            print(f" {len(found)} findings, {broken} against the law, {took:.0f} s", file=sys.stderr)
            results[subject.name] += found
    return results


def table(results: Results, *, markdown: bool) -> list[str]:
    """Lines: one for each finding, with a column for each subject and who agrees with whom."""
    rows: dict[tuple[str, str], dict[str, Finding]] = {}
    for subject, findings in results.items():
        for finding in findings:
            rows.setdefault((finding.law, finding.case), {})[subject] = finding
    lines = []
    if markdown:
        heads = ["law", "case", "SEMANTICS", *results, "agree"]
        lines += [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    law = ""
    for (name, case), found in rows.items():
        expected = next(iter(found.values())).expected
        measured = [found[subject].measured if subject in found else "" for subject in results]
        verdict = verdict_of(found)
        if markdown:
            cells = [name if name != law else "", case, expected, *measured, verdict]
            lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
        else:
            lines += [f"\n{name}"] if name != law else []
            shown = "   ".join(f"{subject}: {cell}" for subject, cell in zip(results, measured, strict=True))
            lines.append(f"  {'  ' if verdict == 'yes' else '! '}{case}: {expected}   {shown}")
        law = name
    return lines


def verdict_of(found: dict[str, Finding]) -> str:
    """``yes``, or who breaks the law, or that they differ in what it leaves open."""
    if any("?" in finding.expected for finding in found.values()):
        return "yes" if len({finding.measured for finding in found.values()}) == 1 else "they differ"
    against = [subject for subject, finding in found.items() if not finding.agrees]
    return f"not {' and '.join(against)}" if against else "yes"


def main() -> int:
    """Measures, or reads what was measured; prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("laws", nargs="*", metavar="LAW", help=f"all, or of {', '.join(LAWS)}")
    parser.add_argument("--subject", action="append", choices=SUBJECTS, help="both, or one of them")
    parser.add_argument("--save", type=Path, help="write the findings to a file, as JSON")
    parser.add_argument("--load", type=Path, help="print the findings of such a file")
    parser.add_argument("--markdown", action="store_true", help="print the table for the docs")
    arguments = parser.parse_args()
    unknown = set(arguments.laws) - set(LAWS)
    if unknown:
        parser.error(f"no law {', '.join(sorted(unknown))}; there are {', '.join(LAWS)}")
    if arguments.load:
        saved = json.loads(arguments.load.read_text())
        results = {subject: [Finding(**finding) for finding in found] for subject, found in saved.items()}
    else:
        results = asyncio.run(measure(arguments.laws or list(LAWS), arguments.subject or list(SUBJECTS)))
    if arguments.save:
        arguments.save.parent.mkdir(parents=True, exist_ok=True)
        plain = {subject: [asdict(finding) for finding in found] for subject, found in results.items()}
        arguments.save.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(table(results, markdown=arguments.markdown)))
    return int(any(not finding.agrees for found in results.values() for finding in found))


if __name__ == "__main__":
    sys.exit(main())
