"""Whether two runs of one scenario are the same, request by request and table by table."""

from __future__ import annotations

import numpy as np

from meshsim.measure.records import Attempts, Calls, Records

CLOSE = 1e-9
"""How far latencies may differ, s: sums of the same numbers in another order."""


def assert_agree(one: Records, other: Records) -> None:
    """Asserts that two runs tell the same story."""
    assert one.edges == other.edges
    assert one.replicas == other.replicas
    requests, others = one.requests, other.requests
    assert len(requests.start) == len(others.start)
    same_times(requests.start, others.start, "starts")
    same_times(requests.end, others.end, "ends")
    for column in ("load", "status", "flag", "attempts", "version"):
        mine, theirs = getattr(requests, column), getattr(others, column)
        different = np.flatnonzero(mine != theirs)
        assert not len(different), (
            f"{column} of requests {different[:5]}: {mine[different[:5]]} {theirs[different[:5]]}"
        )
    same_calls(one.calls, other.calls)
    same_attempts(one.attempts, other.attempts)
    assert len(one.ejections) == len(other.ejections)
    mine, theirs = (np.array(sorted(run.ejections)).reshape(-1, 3) for run in (one, other))
    np.testing.assert_allclose(mine, theirs, atol=CLOSE)
    same_happenings(one, other, "connections")
    same_happenings(one, other, "certificates")
    same_pushes(one, other)
    same_lives(one, other)
    for table in ("busy", "queued"):
        first, second = getattr(one, table), getattr(other, table)
        bins = min(first.shape[1], second.shape[1])
        np.testing.assert_allclose(first[:, :bins], second[:, :bins], atol=1e-7, err_msg=table)
        assert not first[:, bins:].any()
        assert not second[:, bins:].any()


def same_happenings(one: Records, other: Records, table: str) -> None:
    """Asserts that the same became of them, until the last that anybody waited for was over."""
    end = min(one.end, other.end) - CLOSE
    mine, theirs = (
        sorted((where, what, time) for time, where, what in getattr(run, table) or [] if time < end)
        for run in (one, other)
    )
    assert [each[:2] for each in mine] == [each[:2] for each in theirs], f"what became of {table}"
    same_times(*(np.array([each[2] for each in found]) for found in (mine, theirs)), f"of {table}")


def same_pushes(one: Records, other: Records) -> None:
    """Asserts that the same came of all pushes, until the last that anybody waited for was over."""
    end = min(one.end, other.end) - CLOSE
    mine, theirs = (
        [
            (push.version, [push.changed, push.begun], [time for time in push.arrivals if time < end], push)
            for push in run.pushes
            if push.begun < end
        ]
        for run in (one, other)
    )
    assert len(mine) == len(theirs), "pushes"
    for (version, begun, arrivals, push), (number, began, others, same) in zip(mine, theirs, strict=True):
        assert version == number
        same_times(np.array(begun), np.array(began), f"push {version}")
        assert len(arrivals) == len(others), f"push {version}: {len(arrivals)} {len(others)} arrivals"
        same_times(np.array(arrivals), np.array(others), f"arrivals of push {version}")
        assert (push.proxies, push.nacked) == (same.proxies, same.nacked), f"push {version}"


def same_lives(one: Records, other: Records) -> None:
    """Asserts that the same replicas came and went at the same times."""
    end = min(one.end, other.end) - CLOSE
    mine, theirs = (
        np.array(sorted((n, since, to if to < end else np.inf) for n, since, to in run.lives if since < end))
        for run in (one, other)
    )
    np.testing.assert_allclose(mine, theirs, atol=CLOSE, err_msg="lives")


def same_times(mine: np.ndarray, theirs: np.ndarray, what: str) -> None:
    """Asserts equal times; NaN, for what never happened, in the same places."""
    different = np.flatnonzero(~np.isclose(mine, theirs, rtol=0, atol=CLOSE, equal_nan=True))
    assert not len(different), f"{what} {different[:5]}: {mine[different[:5]]} {theirs[different[:5]]}"


def same_calls(mine: Calls, theirs: Calls) -> None:
    """Asserts the same calls, in whatever order the rows were begun."""
    assert len(mine.start) == len(theirs.start)
    first, second = (
        np.lexsort(
            (
                table.version,
                table.flag,
                table.status,
                np.round(np.nan_to_num(table.end), 7),
                np.round(table.request_start, 7),
                np.round(table.start, 7),
                table.edge,
            )
        )
        for table in (mine, theirs)
    )
    for column in ("request_start", "start", "end"):
        same_times(getattr(mine, column)[first], getattr(theirs, column)[second], f"calls' {column}")
    for column in ("edge", "status", "extra"):
        assert (getattr(mine, column)[first] == getattr(theirs, column)[second]).all(), f"calls' {column}"
    ended = mine.status[first] != -1
    for column in ("flag", "version"):
        found, other = (getattr(calls, column)[rows] for calls, rows in ((mine, first), (theirs, second)))
        assert (found[ended] == other[ended]).all(), f"calls' {column}"


def same_attempts(mine: Attempts, theirs: Attempts) -> None:
    """Asserts the same attempts."""
    assert len(mine.sent) == len(theirs.sent)
    first, second = (
        np.lexsort(
            (
                np.round(np.nan_to_num(table.ended), 7),
                table.replica,
                np.round(table.request_start, 7),
                np.round(table.sent, 7),
                table.edge,
            )
        )
        for table in (mine, theirs)
    )
    for column in ("request_start", "sent", "arrived", "answered", "ended"):
        same_times(getattr(mine, column)[first], getattr(theirs, column)[second], f"attempts' {column}")
    for column in ("edge", "replica", "kind", "extra", "status"):
        assert (getattr(mine, column)[first] == getattr(theirs, column)[second]).all(), f"attempts' {column}"
