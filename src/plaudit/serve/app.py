"""The service's routes: JSON in, verdicts out."""

import mimetypes
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

import plaudit
from plaudit.evaluate.explain.explanation import Explanation
from plaudit.serve import schema
from plaudit.serve.gate import KEY_NEEDED, NOTE, PREDICT
from plaudit.serve.intake import BODY
from plaudit.serve.metrics import Metrics
from plaudit.serve.problem import Problem
from plaudit.serve.served import ServedModel, ServedModels
from plaudit.serve.settings import ServeSettings
from plaudit.settings import unknown_name

_PAGE = Path(__file__).parent / "page"

mimetypes.add_type("text/javascript", ".js")  # Windows may know another one, which browsers refuse


def create_app(
    models: ServedModels, *, settings: ServeSettings, metrics: Metrics, log_texts: bool, needs_key: bool
) -> FastAPI:
    """Return the application behind the gate, whose document tells whether that asks for a key."""
    app = FastAPI(
        title="Plaudit",
        version=plaudit.__version__,
        description="Judges texts by models that are small, fast and right.",
        docs_url=None,  # their scripts come from elsewhere
        redoc_url=None,
    )
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(Exception, _crash)
    _add_predict(app, models, settings=settings, log_texts=log_texts)
    _add_what_is_told(app, models, settings=settings, metrics=metrics)

    @app.get("/", include_in_schema=False)
    async def front() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    if needs_key:
        _tell_of_the_key(app)
    app.mount("/page", StaticFiles(directory=_PAGE))
    app.state.draining = lambda: False
    return app


def _add_predict(app: FastAPI, models: ServedModels, *, settings: ServeSettings, log_texts: bool) -> None:
    statuses = (400, 401, 404, 408, 413, 415, 422, 503)

    @app.post(
        PREDICT,
        summary="Judge texts",
        responses={200: {"model": schema.PredictResponse}, **schema.problems(statuses)},
        openapi_extra={"requestBody": schema.request_schema(settings)},
        response_model=None,
    )
    async def predict(request: Request) -> Response:
        started = time.perf_counter()
        asked, model = _asked(request.scope[BODY], models, settings)
        predictions = await model.batcher.submit(asked.texts)
        if asked.explain:
            explanations = await models.explain(model, asked.texts)
            predictions = [p | {"explanation": _told(e)} for p, e in zip(predictions, explanations, strict=True)]
        note = request.scope[NOTE]
        note |= {"model": model.name, "texts": len(asked.texts)}
        if log_texts:
            note["text"] = asked.texts
        latency = round(1000 * (time.perf_counter() - started), 3)
        return _json({"model": model.name, "predictions": predictions, "latency_ms": latency})


def _add_what_is_told(app: FastAPI, models: ServedModels, *, settings: ServeSettings, metrics: Metrics) -> None:
    @app.get("/v1/models", summary="Which models serve", responses=schema.problems([401]))
    async def served() -> schema.Models:
        about = [schema.ModelInfo(**model.about()) for model in models.by_name.values()]
        return schema.Models(default=models.default, models=about)

    @app.get("/v1/limits", summary="What a request may hold", responses=schema.problems([401]))
    async def limits() -> schema.Limits:
        return schema.Limits(**{name: getattr(settings, name) for name in schema.Limits.model_fields})

    @app.get("/healthz", summary="Does the process answer?")
    async def healthz() -> schema.Health:
        return schema.Health(status="ok")

    @app.get("/readyz", summary="Does it take requests, or is it stopping?", responses=schema.problems([503]))
    async def readyz() -> schema.Health:
        if app.state.draining():
            raise Problem(503, "stopping", "the service stops", {"Retry-After": "1"})
        return schema.Health(status="ok")

    @app.get("/metrics", summary="Counters for Prometheus", response_class=Response, responses=schema.problems([401]))
    async def prometheus() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _tell_of_the_key(app: FastAPI) -> None:
    """Add to the OpenAPI document that the gate asks for a key."""
    document = app.openapi()  # which FastAPI makes once
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        if path.startswith(KEY_NEEDED):
            for operation in methods.values():
                operation["security"] = [{"key": []}]


def _asked(body: bytes, models: ServedModels, settings: ServeSettings) -> tuple[schema.PredictRequest, ServedModel]:
    """Return the request and the model that it is for; Problem if it is not what it should be or over a limit."""
    try:
        asked = schema.PredictRequest.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "body"
        raise Problem(422, "invalid_request", f"{where}: {problem['msg']}") from None
    name = models.default if asked.model is None else asked.model
    if name not in models.by_name:
        raise Problem(404, "unknown_model", f"model {name[:100]} {unknown_name(name[:100], models.by_name)}")
    _check_limit(len(asked.texts), settings.max_texts, "too_many_texts", "the request has {:,} texts")
    if asked.explain:
        told = "the request asks to explain {:,} texts"
        _check_limit(len(asked.texts), settings.max_explained_texts, "too_many_texts", told)
    longest = settings.max_explained_characters if asked.explain else settings.max_characters
    for i, text in enumerate(asked.texts):
        _check_limit(len(text), longest, "text_too_long", f"texts[{i}] has {{:,}} characters")
    return asked, models.by_name[name]


def _check_limit(given: int, limit: int, code: str, told: str) -> None:
    if given > limit:
        raise Problem(422, code, f"{told.format(given)}; the limit is {limit:,}")


def _told(explanation: Explanation) -> dict[str, Any]:
    whole = explanation.as_json()
    return {name: whole[name] for name in schema.Explanation.model_fields}


def _json(content: dict[str, Any]) -> Response:
    return Response(to_json(content), media_type="application/json")


async def _problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    headers = problem.headers
    return Response(problem.body, status_code=problem.status, media_type="application/json", headers=headers)


async def _crash(request: Request, error: Exception) -> Response:
    # It is raised once more, and the gate logs it.
    return await _problem(request, Problem(500, "internal", "an error of the service; its log tells more"))


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    headers = dict(error.headers or {})
    return await _problem(
        request, Problem(error.status_code, codes.get(error.status_code, "http"), error.detail, headers)
    )
