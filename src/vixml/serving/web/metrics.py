"""What a server tells Prometheus: requests, the queue, pixels being decoded, models and their changes.

Every application has a registry of its own: several in one process, as in tests, do not add up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from vixml.images.decode import pixels_in_flight
from vixml.serving.web.limits import Admission
from vixml.serving.web.logs import REQUESTS

if TYPE_CHECKING:
    from vixml.serving.web.models import Models

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_QUIET = ("/health", "/ready", "/metrics")  # asked every few seconds: a line only where they fail
_log = logging.getLogger(REQUESTS)


class Metrics:
    """The metrics of one application.

    Args:
        models: Its models.
        admission: Its queue.
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, models: Models, admission: Admission) -> None:
        self._registry = CollectorRegistry()
        own: Any = {"registry": self._registry}
        labels = ("route", "method", "status")
        self.requests = Counter("vixml_requests", "Requests that were answered.", labels, **own)
        self.seconds = Histogram(
            "vixml_request_seconds",
            "From the head of a request to the end of its answer.",
            ("route",),
            buckets=_BUCKETS,
            **own,
        )
        gauges: dict[str, tuple[str, Callable[[], float]]] = {
            "vixml_questions_at_work": ("Questions that are being answered.", lambda: admission.at_work),
            "vixml_questions_waiting": ("Questions that wait for their turn or body.", lambda: admission.waiting),
            "vixml_questions_most": ("Questions at work and waiting that are let in.", lambda: admission.most),
            "vixml_question_bytes": ("Bytes of the questions let in.", lambda: admission.bytes),
            "vixml_pixels_in_flight": ("Pixels of the images being decoded.", pixels_in_flight),
        }
        for name, (text, read) in gauges.items():
            Gauge(name, text, **own).set_function(read)
        self._registry.register(_OfModels(models))
        ProcessCollector(**own)

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self._registry)


class _OfModels(Collector):
    """Facts of the models, read when they are asked for: a model that was replaced leaves nothing behind."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Any]:
        served = self._models.all()
        names = ("model", "dataset", "variant", "fingerprint")
        known = GaugeMetricFamily("vixml_model_info", "The model that answers; always 1.", labels=names)
        since = GaugeMetricFamily("vixml_model_since_seconds", "When it began to answer, unix time.", labels=["model"])
        labels = GaugeMetricFamily("vixml_model_labels", "Its labels.", labels=["model"])
        stale = GaugeMetricFamily(
            "vixml_model_stale", "1: its folder holds another model that does not answer.", labels=["model"]
        )
        for name, one in served.items():
            settings = one.predictor.bundle.settings
            known.add_metric([name, settings.dataset, settings.variant, one.fingerprint], 1)
            since.add_metric([name], one.since)
            labels.add_metric([name], one.predictor.num_labels)
            stale.add_metric([name], float(one.predictor.replaced))
        swaps = CounterMetricFamily(
            "vixml_model_swaps", "Newer models that took the place of older ones.", labels=["model", "outcome"]
        )
        outcomes = dict(self._models.outcomes)
        for name in served:
            for outcome in ("swapped", "refused"):
                swaps.add_metric([name, outcome], outcomes.get((name, outcome), 0))
        yield from (known, since, labels, stale, swaps)


class Observed:
    """ASGI middleware around all others: counts and times every request, and logs it.

    Args:
        app: The application.
        metrics: Where it is counted.
    """

    def __init__(self, app: Any, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, sent = time.perf_counter(), 499, 0  # 499: the client went before the answer

        async def watched(message: Any) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            status = 500
            raise
        finally:
            self._count(scope, status, time.perf_counter() - began, sent)

    def _count(self, scope: Any, status: int, seconds: float, sent: int) -> None:
        route, method = route_of(scope), scope["method"]
        method = method if method in ("GET", "POST", "HEAD") else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if route not in _QUIET or status != 200:
            facts = {
                "route": route,
                "method": method,
                "status": status,
                "seconds": round(seconds, 4),
                "bytes": sent,
                "client": (scope.get("client") or ("",))[0],
            }
            _log.info("request", extra={"facts": facts})


def route_of(scope: Any) -> str:
    """Return the pattern of a request's path: as many as the application has, whatever clients ask for."""
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        return str(route)
    return "/api/predict" if scope["path"] == "/api/predict" else "none"  # refused before it was routed
