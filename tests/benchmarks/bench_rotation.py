"""Certificates rotated while requests pass: how many of either, and how many requests failed.

    python tests/benchmarks/bench_rotation.py [--rotations 10000] [--ttl 2] [--proxies 8]

A mesh of `proxies` behind one another's services, whose certificates last so short a time that they are
renewed all the time, under a steady load on connections that are opened anew for every few requests.
"""

from __future__ import annotations

import argparse
import time

from meshsim.lab.live import run_live
from meshsim.scenario import loads

SCENARIO = """
name: rotation
duration: {duration}s
seed: 11
load:
  - {{to: front, rate: {rate}/s}}
policies:
  front: {{connection: {{max_requests: 5}}}}
  back: {{connection: {{max_requests: 5}}}}
mesh:
  dataplane: sidecar
  mtls: {{mode: strict, certificate_ttl: {ttl}s, rotate_at: {share}, jitter: {jitter}}}
services:
  front: {{time: 1ms, replicas: {front}, script: [{{call: back}}]}}
  back: {{time: 1ms, replicas: {back}}}
"""
JITTER = 0.005
"""A share of the life of a certificate, either way."""


def main() -> None:
    """Runs it, and prints one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rotations", type=int, default=10_000, help="so many, at least")
    parser.add_argument("--ttl", type=float, default=2.0, help="of a certificate, s (at least 2)")
    parser.add_argument("--share", type=float, default=0.02, help="of that, after which it is renewed")
    parser.add_argument("--proxies", type=int, default=7, help="with the client's")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    asked = parser.parse_args()
    each = asked.ttl * asked.share + 0.01  # asking takes some ms
    duration = int(1.6 * asked.rotations * each / asked.proxies) + 1
    front = (asked.proxies - 1) // 2
    text = SCENARIO.format(
        duration=duration, rate=asked.rate, ttl=asked.ttl, share=asked.share, jitter=JITTER, front=front,
        back=asked.proxies - 1 - front,
    )  # fmt: skip
    began = time.monotonic()
    run = run_live(loads(text))
    numbers = run.summary
    opened = sum(edge["connections"]["opened"] for edge in numbers["edges"].values())
    print(f"rotations          {numbers['certificates']['signed']:,}")
    print(f"refused, expired   {numbers['certificates']['refused']}, {numbers['certificates']['expired']}")
    print(f"requests           {numbers['requests']['offered']:,}")
    print(f"connections        {opened:,}")
    print(f"failed             {numbers['requests']['failed']}")
    print(f"troubles           {numbers['live']['troubles'] or 'none'}")
    print(f"seconds            {time.monotonic() - began:.0f}")


if __name__ == "__main__":
    main()
