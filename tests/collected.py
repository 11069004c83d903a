"""Metrics as an exporter collects them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric


class Collected:
    """The metrics of the package in a reader."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader

    def metrics(self) -> Iterator[Metric]:
        """All of them, collected now in this thread."""
        data = self._reader.get_metrics_data()
        for resource in () if data is None else data.resource_metrics:
            for scope in resource.scope_metrics:
                if scope.scope.name == "leadsquared_async":
                    yield from scope.metrics

    def points(self, name: str) -> dict[tuple[str, ...], Any]:
        """The values of a metric, by those of its attributes in the order of their names.

        A histogram's value is how often it was recorded.
        """
        return {
            tuple(str(value) for _, value in sorted((point.attributes or {}).items())): (
                point.value if hasattr(point, "value") else point.count
            )
            for metric in self.metrics()
            if metric.name == name
            for point in metric.data.data_points
        }
