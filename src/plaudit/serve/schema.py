"""Requests and answers, as the OpenAPI document describes them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator
from pydantic_core import PydanticCustomError

from plaudit.predictor import NoVerdict
from plaudit.serve.settings import ServeSettings
from plaudit.settings import unknown_name


def _as_list(texts: object) -> object:
    return [texts] if isinstance(texts, str) else texts


# Only the first mistake is reported, so a body with millions of them should not be searched for all.
Texts = Annotated[list[str], FailFast(), BeforeValidator(_as_list)]


class PredictRequest(BaseModel):
    """One text or many."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: Texts = Field(min_length=1)
    model: str | None = Field(None, description="A model's name from /v1/models; by default the first.")
    explain: bool = Field(
        False, description="Also return each word's contribution; limits on texts are lower (/v1/limits)."
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, content: object) -> object:
        for name in content if isinstance(content, dict) else ():
            if name not in cls.model_fields:
                message = f"{name[:40]} {unknown_name(name[:40], cls.model_fields)}"
                raise PydanticCustomError("unknown_field", "{message}", {"message": message})
        return content


class Token(BaseModel):
    """A word: characters start … end - 1 of the text, in Unicode code points."""

    start: int
    end: int
    text: str
    contribution: float = Field(description="Log-odds that it adds to the explained label.")


class Explanation(BaseModel):
    """Each word's contribution; log_odds = rest + all contributions, as far as the method accounts for them."""

    label: str
    method: Literal["exact", "occlusion"]
    log_odds: float
    rest: float
    tokens: list[Token]


class Prediction(BaseModel):
    """The prediction for one text."""

    label: str | None = Field(description="The most probable label; null if there is no verdict.")
    reason: NoVerdict | None = Field(
        description="Why the label is null: the text is blank (empty or white space), or the model is unsure."
    )
    probabilities: dict[str, float]
    explanation: Explanation | None


class PredictResponse(BaseModel):
    """Predictions in the order of the texts."""

    model: str
    predictions: list[Prediction]
    latency_ms: float = Field(description="Milliseconds from the parsed request to its answer.")


class ModelInfo(BaseModel):
    """A model in service."""

    name: str
    kind: str
    labels: list[str]
    size_bytes: int
    parameters: int
    calibration: str | None
    digest: str


class Models(BaseModel):
    """All models, and the one that is used if a request names none."""

    default: str
    models: list[ModelInfo]


class Limits(BaseModel):
    """Limits on a request."""

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
    """Any answer that is not a success."""

    error: ProblemDetail


class Health(BaseModel):
    """The service is running."""

    status: Literal["ok"]


def request_schema(settings: ServeSettings) -> dict[str, Any]:
    """Return the request body of /v1/predict with its limits and examples."""
    examples = {
        "one": {"summary": "One text", "value": {"texts": "A fine film that I will watch again."}},
        "many": {
            "summary": "Many texts, another model",
            "value": {"texts": ["A fine film that I will watch again.", "Dull, dull, dull."], "model": "lstm"},
        },
        "why": {"summary": "With an explanation", "value": {"texts": "Not a good film.", "explain": True}},
    }
    schema = PredictRequest.model_json_schema()
    text = {"type": "string", "maxLength": settings.max_characters}
    many = {"type": "array", "items": text, "minItems": 1, "maxItems": settings.max_texts}
    schema["properties"]["texts"] = {"anyOf": [text, many], "description": "A text, or a list of texts."}
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def problems(statuses: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of these statuses."""
    meanings = {
        400: "The request was cut off",
        401: "The key is missing or wrong",
        404: "No such model",
        408: "The body took too long",
        413: "The body is too large",
        415: "The body is not JSON",
        422: "The request is malformed or over a limit",
        503: "Too many requests at once; Retry-After says when to try again",
    }
    return {status: {"model": ProblemResponse, "description": meanings[status]} for status in statuses}
