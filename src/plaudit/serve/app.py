"""The routes of the service."""

import mimetypes
import time
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

import plaudit
from plaudit.serve import schema
from plaudit.serve.gate import KEY_NEEDED, NOTE, PREDICT
from plaudit.serve.intake import BODY
from plaudit.serve.metrics import Metrics
from plaudit.serve.problem import Problem, internal_error
from plaudit.serve.served import ServedModel, ServedModels
from plaudit.serve.settings import ServeSettings
from plaudit.settings import unknown_name

_PAGE = Path(__file__).parent / "page"

mimetypes.add_type("text/javascript", ".js")  # Windows may have another type, which browsers refuse


def create_app(
    models: ServedModels, *, settings: ServeSettings, metrics: Metrics, log_texts: bool, needs_key: bool
) -> FastAPI:
    """Return the application behind the gate; its OpenAPI document says whether a key is needed."""
    app = FastAPI(
        title="Plaudit",
        version=plaudit.__version__,
        description="Predicts the sentiment of texts.",
        docs_url=None,  # it loads scripts from other sites
        redoc_url=None,
    )
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_crash)
    _add_predict(app, models, settings=settings, log_texts=log_texts)
    _add_information(app, models, settings=settings, metrics=metrics)

    @app.get("/", include_in_schema=False)
    async def front() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    if needs_key:
        _document_key(app)
    app.mount("/page", StaticFiles(directory=_PAGE))
    app.state.draining = lambda: False
    return app


def _add_predict(app: FastAPI, models: ServedModels, *, settings: ServeSettings, log_texts: bool) -> None:
    statuses = (400, 401, 404, 408, 413, 415, 422, 503)

    @app.post(
        PREDICT,
        summary="Classify texts",
        responses={200: {"model": schema.PredictResponse}, **schema.problems(statuses)},
        openapi_extra={"requestBody": schema.request_schema(settings)},
        response_model=None,
    )
    async def predict(request: Request) -> Response:
        started = time.perf_counter()
        query, model = _parse(request.scope[BODY], models, settings)
        predictions = await model.batcher.submit(query.texts)
        if query.explain:
            explanations = [each.as_json() for each in await models.explain(model, query.texts)]
            shown = [{name: each[name] for name in schema.Explanation.model_fields} for each in explanations]
            predictions = [p | {"explanation": e} for p, e in zip(predictions, shown, strict=True)]
        request.scope[NOTE] |= {"model": model.name, "texts": len(query.texts)}
        if log_texts:
            request.scope[NOTE]["text"] = query.texts
        latency = round(1000 * (time.perf_counter() - started), 3)
        content = {"model": model.name, "predictions": predictions, "latency_ms": latency}
        return Response(to_json(content), media_type="application/json")


def _add_information(app: FastAPI, models: ServedModels, *, settings: ServeSettings, metrics: Metrics) -> None:
    @app.get("/v1/models", summary="The models and the default one", responses=schema.problems([401]))
    async def served() -> schema.Models:
        return schema.Models(default=models.default, models=[model.info() for model in models.by_name.values()])

    @app.get("/v1/limits", summary="Limits on a request", responses=schema.problems([401]))
    async def limits() -> schema.Limits:
        return schema.Limits(**{name: getattr(settings, name) for name in schema.Limits.model_fields})

    @app.get("/healthz", summary="Does the process answer?")
    async def healthz() -> schema.Health:
        return schema.Health(status="ok")

    @app.get("/readyz", summary="Does it take requests, or is it stopping?", responses=schema.problems([503]))
    async def readyz() -> schema.Health:
        if app.state.draining():
            raise Problem(503, "stopping", "the service is stopping", {"Retry-After": "1"})
        return schema.Health(status="ok")

    @app.get("/metrics", summary="Counters for Prometheus", response_class=Response, responses=schema.problems([401]))
    async def prometheus() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _document_key(app: FastAPI) -> None:
    """Add the key that the gate asks for to the OpenAPI document."""
    document = app.openapi()  # FastAPI makes it once and keeps it
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        if path.startswith(KEY_NEEDED):
            for operation in methods.values():
                operation["security"] = [{"key": []}]


def _parse(body: bytes, models: ServedModels, settings: ServeSettings) -> tuple[schema.PredictRequest, ServedModel]:
    """Return the request and the model that it is for; Problem if it is malformed or over a limit."""
    try:
        query = schema.PredictRequest.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "body"
        raise Problem(422, "invalid_request", f"{where}: {problem['msg']}") from None
    name = models.default if query.model is None else query.model
    if name not in models.by_name:
        raise Problem(404, "unknown_model", f"model {name[:100]} {unknown_name(name[:100], models.by_name)}")
    number = len(query.texts)
    _check_limit(number, settings.max_texts, "too_many_texts", f"the request has {number:,} texts")
    if query.explain:
        what = f"the request asks to explain {number:,} texts"
        _check_limit(number, settings.max_explained_texts, "too_many_texts", what)
    longest = settings.max_explained_characters if query.explain else settings.max_characters
    for i, text in enumerate(query.texts):
        _check_limit(len(text), longest, "text_too_long", f"texts[{i}] has {len(text):,} characters")
    return query, models.by_name[name]


def _check_limit(value: int, limit: int, code: str, what: str) -> None:
    if value > limit:
        raise Problem(422, code, f"{what}; the limit is {limit:,}")


async def _answer_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return Response(problem.body, problem.status, problem.headers, media_type="application/json")


async def _answer_crash(request: Request, error: Exception) -> Response:
    return await _answer_problem(request, internal_error())  # Starlette raises the error again, and the gate logs it


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http")
    return await _answer_problem(request, Problem(error.status_code, code, error.detail, error.headers))
