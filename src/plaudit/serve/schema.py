"""What goes over the wire, as the OpenAPI document tells it."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator
from pydantic_core import PydanticCustomError

from plaudit.serve.settings import ServeSettings
from plaudit.settings import unknown_name


def _as_list(texts: object) -> object:
    return [texts] if isinstance(texts, str) else texts


# The first mistake is told; a body of millions should not have as many looked for.
Texts = Annotated[list[str], FailFast(), BeforeValidator(_as_list)]


class PredictRequest(BaseModel):
    """One text or many."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: Texts = Field(min_length=1, description="A text, or a list of texts.")
    model: str | None = Field(None, description="A name of /v1/models; by default the first one.")
    explain: bool = Field(
        False, description="Say how much each word speaks for the verdict; of fewer and shorter texts (/v1/limits)."
    )

    @model_validator(mode="before")
    @classmethod
    def _know_all_fields(cls, content: object) -> object:
        for name in content if isinstance(content, dict) else ():
            if name not in cls.model_fields:
                told = f"{name[:40]} {unknown_name(name[:40], cls.model_fields)}"
                raise PydanticCustomError("unknown_field", "{told}", {"told": told})
        return content


class Token(BaseModel):
    """A word: characters start … end - 1 of its text, counted in Unicode code points."""

    start: int
    end: int
    text: str
    contribution: float = Field(description="Log-odds that it adds to the explained label.")


class Explanation(BaseModel):
    """Why: log_odds = rest + the contributions, as far as the method accounts for them."""

    label: str
    method: Literal["exact", "occlusion"]
    log_odds: float
    rest: float
    tokens: list[Token]


class Prediction(BaseModel):
    """The verdict on one text."""

    label: str | None = Field(description="The most probable label; null where the service abstains.")
    probabilities: dict[str, float]
    explanation: Explanation | None


class PredictResponse(BaseModel):
    """Verdicts in the order of the texts."""

    model: str
    predictions: list[Prediction]
    latency_ms: float = Field(description="Milliseconds from the parsed request to its answer.")


class ModelInfo(BaseModel):
    """A model that serves."""

    name: str
    kind: str
    labels: list[str]
    size_bytes: int
    parameters: int
    calibration: str | None
    digest: str


class Models(BaseModel):
    """All of them, and the one that judges where a request names none."""

    default: str
    models: list[ModelInfo]


class Limits(BaseModel):
    """What a request may hold."""

    max_body_bytes: int
    max_texts: int
    max_characters: int
    max_explained_texts: int
    max_explained_characters: int


class ProblemDetail(BaseModel):
    """A code for programs, a sentence for people."""

    code: str
    message: str


class ProblemResponse(BaseModel):
    """Every answer that is no success."""

    error: ProblemDetail


class Health(BaseModel):
    """The service runs."""

    status: Literal["ok"]


def request_schema(settings: ServeSettings) -> dict[str, Any]:
    """Return the request body of /v1/predict with its limits and examples."""
    examples = {
        "one": {"summary": "One text", "value": {"texts": "A fine film that I will watch again."}},
        "many": {
            "summary": "Many texts, another model",
            "value": {"texts": ["A fine film that I will watch again.", "Dull, dull, dull."], "model": "lstm"},
        },
        "why": {"summary": "And why", "value": {"texts": "Not a good film.", "explain": True}},
    }
    schema = PredictRequest.model_json_schema()
    text = {"type": "string", "maxLength": settings.max_characters}
    many = {"type": "array", "items": text, "minItems": 1, "maxItems": settings.max_texts}
    described = schema["properties"]["texts"]["description"]
    schema["properties"]["texts"] = {"anyOf": [text, many], "description": described}
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def problems(of: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    """Return the answers of these statuses for the OpenAPI document."""
    said = {
        400: "The request is broken off",
        401: "The key is missing or wrong",
        404: "No such model",
        408: "The body took too long",
        413: "The body is too large",
        415: "The body is not JSON",
        422: "The request is not what it should be, or over a limit",
        503: "Too many requests at once; Retry-After says when to try again",
    }
    return {status: {"model": ProblemResponse, "description": said[status]} for status in of}
