"""The service: every route of its OpenAPI document, as Markdown."""

import json
from typing import Any, cast

from docs._reference.settings import described
from docs._reference.tables import cell, table

Schema = dict[str, Any]


def document() -> Schema:
    """Return the OpenAPI document that a service has at /openapi.json."""
    from plaudit.serve.app import create_app
    from plaudit.serve.metrics import Metrics
    from plaudit.serve.served import ServedModels
    from plaudit.serve.settings import ServeSettings

    # The document does not depend on the models.
    models = cast(ServedModels, None)
    app = create_app(models, settings=ServeSettings(), metrics=Metrics(), log_texts=False, needs_key=True)
    return cast(Schema, app.openapi())


def http() -> str:
    """Return sections on the routes, the shapes of requests and answers, and the limits."""
    from plaudit.serve.settings import ServeSettings

    whole = document()
    routes = [
        _route(f"{method.upper()} {path}", operation)
        for path, operations in whole["paths"].items()
        for method, operation in operations.items()
    ]
    shapes = [f"### {name}\n\n{_shape(schema)}" for name, schema in whole["components"]["schemas"].items()]
    limits = f"## Limits\n\n`plaudit serve --set NAME=VALUE` changes a limit.\n\n{described(ServeSettings)}"
    return "\n\n".join([*routes, "## Shapes", *shapes, limits])


def _route(title: str, operation: Schema) -> str:
    parts = [f"## {title}", f"{operation['summary']}{'' if operation['summary'].endswith('?') else '.'}"]
    asked = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if asked:
        parts.append(_shape(asked["schema"]))
        for example in asked.get("examples", {}).values():
            parts.append(f"{example['summary']}:\n\n```json\n{json.dumps(example['value'], indent=1)}\n```")
    answers = [
        (status, _type(_content(answer)) if _content(answer) else "", cell(_said(status, answer)))
        for status, answer in operation["responses"].items()
    ]
    parts.append(table(("status", "body", "when"), answers))
    return "\n\n".join(parts)


def _said(status: str, answer: Schema) -> str:
    return "" if status == "200" else str(answer["description"])


def _content(answer: Schema) -> Schema:
    return cast(Schema, answer.get("content", {}).get("application/json", {}).get("schema", {}))


def _shape(schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        (f"`{name}`", _type(field), "yes" if name in required else "", cell(field.get("description", "")))
        for name, field in schema.get("properties", {}).items()
    ]
    return f"{schema.get('description', '')}\n\n{table(('field', 'type', 'required', 'meaning'), rows)}"


def _type(schema: Schema) -> str:
    """Return what a reader calls the type, a link to its shape if it has one."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return str(schema.get("type", "anything"))
