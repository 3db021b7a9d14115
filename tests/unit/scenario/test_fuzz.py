"""Whatever the document, a scenario or a ScenarioError comes of it, and nothing else."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from meshsim.errors import MeshsimError
from meshsim.scenario import Scenario, dump, loads, schema
from meshsim.scenario.document import parse

KEYS = sorted({key for part in [schema(), *schema()["$defs"].values()] for key in part.get("properties", {})})
NAMES = [
    "a",
    "b",
    "v1",
    "client",
    "default",
    "a -> b",
    "client -> a",
    "a/0",
    "b/v1/0",
    "policies.a.timeout",
    "policies.b",
    "<<",
]
WORDS = [
    "5ms",
    "10s",
    "100/s",
    "5%",
    "unlimited",
    "auto",
    "poisson",
    "random",
    "5xx",
    "constant",
    "mmpp",
    "trace",
    "least_request",
]
TEXT = st.sampled_from(NAMES + WORDS + KEYS) | st.text(max_size=5)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-10, 10)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | TEXT, inner, max_size=5)
    ),
    max_leaves=25,
)
STEPS = st.lists(st.integers(0, 30), max_size=6)


def reads_or_refuses(text, overrides=()):
    """Load, and check what comes of it."""
    try:
        scenario = loads(text, "s.yaml", overrides)
    except MeshsimError:
        return
    assert isinstance(scenario, Scenario)
    for index, event in enumerate(scenario.events):
        if event.set:
            scenario.policies_after(index)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS) | TEXT, VALUES, max_size=6))
def test_documents_of_known_and_unknown_keys(document):
    with contextlib.suppress(ValueError):  # a lone surrogate is not text to begin with
        reads_or_refuses(dump(document))


@settings(max_examples=50, deadline=None)
@given(STEPS, VALUES)
def test_a_good_scenario_with_one_thing_replaced(steps, value):
    document = parse(_whole(), "s").value
    here = document
    for step in steps:
        entries = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not entries:
            break
        key = entries[step % len(entries)]
        if not isinstance(here[key], dict | list):
            break
        parent, here = here, here[key]
        last = (parent, key)
    if steps and document is not here:
        last[0][last[1]] = value
    reads_or_refuses(dump(document))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text(text):
    reads_or_refuses(text)


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("abc:-[]{}&*!|>'\"%@`#,?\n\t <~0."), max_size=60))
def test_text_that_looks_like_yaml(text):
    reads_or_refuses(text)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(TEXT, VALUES, max_size=3)
    | st.lists(st.text(max_size=30) | TEXT.map(lambda key: f"{key}=1"), max_size=3)
)
def test_any_override(overrides):
    reads_or_refuses(_whole(), overrides)


def _whole():
    return """\
duration: 10s
warmup: 1s
services:
  a: {workers: 2, time: {exponential: 5ms}, script: [{call: b}, [{call: b, optional: true}, {sleep: 1ms}]]}
  b:
    versions:
      v1: {replicas: 2}
      v2: {time: {mixture: [{weight: 1, constant: 1ms}, {weight: 1, exponential: 2ms}]}}
mesh: {dataplane: sidecar, proxy: {time: 1ms}}
links: {default: {latency: 1ms}, a -> b: {loss: 1%}}
policies:
  b:
    timeout: 1s
    retries: {attempts: 2, on: [5xx]}
    split: {v1: 1, v2: 1}
    balance: {least_request: {choices: 2}}
load: [{to: a, rate: 5/s}, {to: a, users: 2, think: 1s}, {to: a, profile: [{at: 0s, rate: 1/s}]}]
events:
  - {at: 1s, for: 1s, service: a, slow: 2}
  - {at: 2s, set: {policies.b.retries.attempts: 3}}
  - {at: 3s, replica: b/v1/0, down: true}
objectives: [{service: a, p99: 1s}]
"""
