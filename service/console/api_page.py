"""The page of the API: the OpenAPI document as one page of HTML, without scripts and without another host."""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

import orjson

from service.web.problems import MEDIA_TYPE

_STYLE = (files("service.console") / "api_page.css").read_text()
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: its own style sheet, and nothing else"""

_CODE = re.compile(r"`+([^`]+)`+")
_SCHEMA = "#/components/schemas/"
_LIMITS = {
    "minimum": "from {:g}",
    "maximum": "to {:g}",
    "minLength": "from {} characters",
    "maxLength": "to {} characters",
    "maxItems": "at most {}",
}


def api_page(document: Mapping[str, Any]) -> bytes:
    """The page of an OpenAPI document."""
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    title = escape(document["info"]["title"])
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: API</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body>",
        f"<header><h1>{title}</h1><p>Version {escape(document['info']['version'])}. For machines: ",
        '<a href="openapi.json">openapi.json</a>. A key, if keys are configured: ',
        "<code>Authorization: Bearer KEY</code>.</p></header>",
        f'<nav aria-label="Operations">{"".join(_contents(operations))}</nav><main>',
        *(_operation(*one) for one in operations),
        '<h2 id="schemas">Schemas</h2>',
        *(_schema(name, schema) for name, schema in schemas.items()),
        "</main></body></html>",
    ]
    return "".join(parts).encode()


def _contents(operations: list[tuple[str, str, Any]]) -> Iterator[str]:
    """Links to all operations, by tag in the order of the document."""
    tags = dict.fromkeys(tag for _, _, operation in operations for tag in operation["tags"])
    for tag in tags:
        links = "".join(
            f'<li><a href="#{operation["operationId"]}">{_name(method, path)}</a></li>'
            for method, path, operation in operations
            if tag in operation["tags"]
        )
        yield f"<h2>{escape(tag)}</h2><ul>{links}</ul>"
    yield '<h2>schemas</h2><ul><li><a href="#schemas">all schemas</a></li></ul>'


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f'<section id="{operation["operationId"]}"><h3>{_name(method, path)}</h3>']
    parts.append(_text(operation.get("description", "")))
    if operation.get("parameters"):
        parts.append(_table("Parameters", ("name", "in", "value", "meaning"), map(_parameter, operation["parameters"])))
    bodies = operation.get("requestBody", {}).get("content", {})
    parts.extend(_body(content["schema"]) for content in bodies.values())
    answers, problems = [], []
    for status, answer in operation["responses"].items():
        contents = answer.get("content", {})
        if MEDIA_TYPE in contents:
            problems.append(f"{escape(status)} {escape(answer['description'])}")
        else:
            kinds = (f"{escape(kind)}: {_type(content.get('schema', {}))}" for kind, content in contents.items())
            answers.append((escape(status), "<br>".join(kinds)))
    parts.append(_table("Answers", ("status", "body"), answers))
    if problems:
        link = f'<a href="{_link("Problem")}">Problem</a>'
        parts.append(f'<h4>Problems</h4><p class="quiet">{", ".join(problems)}: {link}</p>')
    return "".join([*parts, "</section>"])


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str, str, str]:
    schema = parameter["schema"]
    needed = "" if parameter.get("required") else f' <span class="quiet">optional{_default(schema)}</span>'
    name = f"<code>{escape(parameter['name'])}</code>"
    return name, escape(parameter["in"]), _type(schema) + needed, _inline(parameter.get("description", ""))


def _body(schema: Mapping[str, Any]) -> str:
    described = _inline(schema.get("description", ""))
    colon = ": " if described else ""
    kind = f"<p>{_type(schema)}{colon}{described}</p>"
    return f"<h4>Body</h4>{kind}{_example(schema)}{_properties(schema.get('items', schema))}"


def _example(schema: Mapping[str, Any]) -> str:
    if "example" not in schema:
        return ""
    return f"<pre>{escape(orjson.dumps(schema['example'], option=orjson.OPT_INDENT_2).decode())}</pre>"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    kind = "" if "properties" in schema else f"<p>{_type(schema)}</p>"
    described = _text(schema.get("description", ""))
    shown = f"{described}{kind}{_example(schema)}{_properties(schema)}"
    return f'<section id="schema-{name}"><h3>{escape(name)}</h3>{shown}</section>'


def _properties(schema: Mapping[str, Any]) -> str:
    """The table of an object's properties; nothing for other schemas."""
    needed = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(name)}</code>",
            _type(one) + ("" if name in needed else f' <span class="quiet">optional{_default(one)}</span>'),
            _inline(one.get("description", "")),
        )
        for name, one in schema.get("properties", {}).items()
    ]
    return _table("", ("name", "value", "meaning"), rows) if rows else ""


def _type(schema: Mapping[str, Any]) -> str:
    """What values a schema allows, as HTML."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMA)
        return f'<a href="{_link(name)}">{escape(name)}</a>'
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(map(_type, schema[several])))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"<code>{escape(orjson.dumps(value).decode())}</code>" for value in values)
    kind = schema.get("type", "anything")
    limits = [text.format(schema[name]) for name, text in _LIMITS.items() if name in schema]
    limited = f' <span class="quiet">({escape(" ".join(limits))})</span>' if limits else ""
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}{limited}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping) and "properties" not in schema:
        return f"object of {_type(schema['additionalProperties'])}"
    kinds = kind if isinstance(kind, list) else [schema.get("format", kind)]
    return escape(" or ".join(kinds)) + limited


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    return "" if default in (None, []) else f", default {escape(str(default))}"


def _table(title: str, head: tuple[str, ...], rows: Any) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    heading = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    named = f"<h4>{title}</h4>" if title else ""
    return f'{named}<div class="wide"><table><tr>{heading}</tr>{body}</table></div>'


def _name(method: str, path: str) -> str:
    return f'<span class="method {method}">{method.upper()}</span> <code>{escape(path)}</code>'


def _link(schema: str) -> str:
    return f"#schema-{schema}"


def _text(text: str) -> str:
    """Paragraphs."""
    return "".join(f"<p>{_inline(part)}</p>" for part in text.split("\n\n") if part.strip())


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))
