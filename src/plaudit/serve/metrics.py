"""Prometheus metrics, in one registry per service, so that two services in a process stay apart."""

from collections import Counter as Counts
from collections.abc import Callable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


class Metrics:
    """Metrics of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        r = self._registry
        self._requests = Counter("plaudit_requests_total", "Requests answered.", ["path", "status"], registry=r)
        self._seconds = Histogram(
            "plaudit_request_seconds", "Time from a request's headers to its answer.", buckets=_SECONDS, registry=r
        )
        self._verdicts = Counter("plaudit_verdicts_total", "Texts classified.", ["model", "label"], registry=r)
        self._batch = Histogram(
            "plaudit_batch_texts", "Texts classified in one call.", ["model"], buckets=_BATCH, registry=r
        )
        self._model = Gauge("plaudit_model_info", "Models in service.", ["model", "kind", "digest"], registry=r)
        self.requests_in_work = Gauge("plaudit_requests_in_work", "Requests in progress or waiting.", registry=r)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, status).inc()
        self._seconds.observe(seconds)

    def of_model(self, model: str) -> Callable[[Sequence[str | None]], None]:
        """Return the function that counts a batch's verdicts."""

        def count(verdicts: Sequence[str | None]) -> None:
            self._batch.labels(model).observe(len(verdicts))
            for label, number in Counts(verdicts).items():
                self._verdicts.labels(model, label or "").inc(number)

        return count

    def serves(self, model: str, *, kind: str, digest: str) -> None:
        """Record which version of a model is in service."""
        for known in list(next(iter(self._model.collect())).samples):
            if known.labels["model"] == model:
                self._model.remove(*known.labels.values())
        self._model.labels(model, kind, digest).set(1)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)
