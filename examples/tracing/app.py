# SPDX-License-Identifier: BSD-2-Clause
"""Spans of OpenTelemetry that go on where the client's request comes from.

exporter has the spans of this worker, for its test; a real application has
one of opentelemetry-exporter-otlp in its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)
from opentelemetry.trace.propagation.tracecontext import (
    TraceContextTextMapPropagator,
)

from resty_ffi import current, serve

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("shop")
propagator = TraceContextTextMapPropagator()


@contextmanager
def span(name: str) -> Iterator[trace.Span]:
    """One of the trace that the call belongs to."""
    parent = propagator.extract({"traceparent": current().trace or ""})
    with tracer.start_as_current_span(name, context=parent) as started:
        yield started


@serve
class Shop:
    async def price(self, request: bytes) -> str:
        with span("price") as started:
            started.set_attribute("item", request.decode())
            with tracer.start_as_current_span("database"):
                return "3.50"

    def spans(self, request: bytes) -> str:
        """What has been exported: name, trace, and the parent's number."""
        return json.dumps(
            [
                [
                    done.name,
                    f"{done.context.trace_id:032x}",
                    f"{done.parent.span_id:016x}" if done.parent else None,
                ]
                for done in exporter.get_finished_spans()
            ]
        )
