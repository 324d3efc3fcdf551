"""A readable description of the REST interface, made from the OpenAPI schema."""

from collections.abc import Iterator, Mapping
from typing import Any


def calls(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every call with its fields and an example.

    Args:
        schema: OpenAPI 3.1.
    """
    for path, verbs in schema["paths"].items():
        for verb, call in verbs.items():
            fields = [*_parameters(call), *_form(schema, call)]
            yield dict(
                verb=verb.upper(),
                path=path,
                about=call["description"],
                fields=fields,
                example=_example(verb.upper(), path, fields),
                answer=_answer(call),
            )


def records(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the records in responses."""
    for name, record in sorted(schema["components"]["schemas"].items()):
        if name.startswith(("Body_", "HTTPValidationError", "ValidationError")):
            continue
        fields = [(field, _kind(about)) for field, about in record["properties"].items()]
        yield dict(name=name, about=record.get("description", ""), fields=fields)


def _parameters(call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for one in call.get("parameters", []):
        yield _field(one["name"], one["in"], one["schema"], one.get("description"), one["required"])


def _form(schema: Mapping[str, Any], call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for content in call.get("requestBody", {}).get("content", {}).values():
        body = schema["components"]["schemas"][_name(content["schema"])]
        for name, about in body["properties"].items():
            required = name in body.get("required", ())
            yield _field(name, "form", about, about.get("description"), required)


def _field(name: str, place: str, kind: Any, about: str | None, required: bool) -> dict[str, Any]:
    return dict(name=name, place=place, kind=_kind(kind), about=about or "", required=required)


def _name(schema: Mapping[str, Any]) -> str:
    return schema["$ref"].rsplit("/", 1)[-1]


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _name(schema)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if schema.get("contentMediaType") or schema.get("format") == "binary":
        return "file"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}".removesuffix(" of any")
    if "const" in schema or "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema.get("enum", [schema.get("const")]))
    return schema.get("type", "any")


def _answer(call: Mapping[str, Any]) -> str:
    content = call["responses"]["200"].get("content", {})
    return ", ".join(
        _kind(of["schema"]) if of.get("schema") else kind for kind, of in content.items()
    )


def _example(verb: str, path: str, fields: list[dict[str, Any]]) -> str:
    """Return an example for a shell."""
    place = path.replace("{name}", "Anna").replace("{id}", "0123456789abcdef0123456789abcdef")
    files = [f" -F {field['name']}=@a.jpg" for field in fields if field["kind"].endswith("file")]
    how = "" if verb == "GET" or files else f" -X {verb}"
    return f"curl{how} http://127.0.0.1:8470{place}{''.join(files[:1])}"
