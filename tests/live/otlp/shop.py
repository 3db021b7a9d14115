"""The scenario of these tests: a shop with a page and a purchase, in which a service fails now and then."""

TEXT = """
name: shop
duration: 20s
drain: 10s
services:
  front:
    replicas: 2
    workers: 8
    time: 1ms
    endpoints: {page: {path: /page}, buy: {method: POST, path: /buy, script: [{call: cart/add, repeat: 2}]}}
    script: [{call: cart}]
  cart:
    replicas: 2
    workers: 2
    time: {exponential: 4ms}
    errors: 20%
    endpoints: {add: {method: POST, path: /add, time: {exponential: 8ms}}}
policies:
  cart: {timeout: 60ms, retries: {attempts: 2, on: [5xx], per_try_timeout: 20ms}}
load: [{to: front, rate: 60/s, endpoints: {page: 50, buy: 50}}]
tracing: {sampling: 100%}
"""
LIVE = [
    "duration=3s", "services.cart.workers=20", "load[0].rate=40/s",
    "policies.cart={retries: {attempts: 2, on: [5xx]}, balance: round_robin}",
]  # fmt: skip
"""Overrides for a live run: nothing depends on how fast the machine is."""
