"""Spans to a tracing back end: OTLP, the OpenTelemetry protocol, over HTTP.

`conventions` says what a span of the mesh is called there, `encode` writes it as protobuf, and `sender` hands
it to a receiver that may be slow, down, or overloaded.

Source: OpenTelemetry Protocol 1.x; semantic conventions for HTTP spans 1.27 and later.
"""
