"""Metrics of parts that the engine does not know, such as robots and speech servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .buckets import Buckets

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Labels = TypeVar("Labels", bound=tuple[str, ...])


class Part(Protocol):
    """Something beside the engine that a `Monitor` shows: under ``name`` in ``/status``, and as
    metrics of its own. Both are read when somebody asks."""

    @property
    def name(self) -> str: ...

    def status(self) -> dict[str, Any]: ...

    def collect(self) -> Iterator[Metric]: ...


# prometheus_client is a slow import, which nobody needs who is not asked by Prometheus.


def gauge(name: str, help: str, labels: Iterable[str], values: Mapping[Labels, float]) -> Metric:
    """A gauge by its labels."""
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    family = GaugeMetricFamily(f"ringwheel_{name}", help, labels=list(labels))
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def counter(name: str, help: str, labels: Iterable[str], values: Mapping[Labels, float]) -> Metric:
    """A counter by its labels."""
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415

    family = CounterMetricFamily(f"ringwheel_{name}", help, labels=list(labels))
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def histogram(
    name: str, help: str, values: Mapping[Labels, Buckets], labels: Iterable[str] = ()
) -> Metric:
    """A histogram by its labels."""
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415

    family = HistogramMetricFamily(f"ringwheel_{name}", help, labels=list(labels))
    for key, buckets in values.items():
        pairs = zip(buckets.bounds, buckets.up_to(), strict=True)
        counts = [(f"{bound:g}", float(count)) for bound, count in pairs]
        family.add_metric(list(key), [*counts, ("+Inf", float(buckets.count))], buckets.sum)
    return family
