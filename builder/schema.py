"""Checks a document against a JSON Schema that ships with the program, and says what is wrong in a user's words."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from builder.document import TYPOGRAPHIC_QUOTES, Document, KeyPath
from builder.errors import Problem


def _pattern(validator: Any, pattern: str, instance: object, schema: Any) -> Iterator[ValidationError]:
    """As the specification has it: `$` is the end, where Python lets a line break follow."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*(?:\.[A-Za-z][A-Za-z0-9-]*|:[0-9]+)(?:[/:?#]|$)")
"""What a URL without its beginning looks like."""

_PASSWORD = re.compile(r"(:/+)[^\"@]*:[^\"]*@")
"""What may be one in a URL that is wrong, perhaps because of what it has in it."""

_WHOLE = "config.schema.json"
_Validator: Any = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]


@cache
def _schema(name: str) -> dict[str, Any]:
    """The schema, with what others may refer to in the one that has all sections."""
    schema: dict[str, Any] = json.loads(files("builder").joinpath(name).read_text(encoding="utf-8"))
    shared = _schema(_WHOLE)["$defs"] if name != _WHOLE else {}
    return {**schema, "$defs": {**shared, **schema["$defs"]}}


def problems(document: Document, name: str) -> list[Problem]:
    """All that the schema `builder/NAME` finds wrong in `document`."""
    schema = _schema(name)
    # What jsonschema types as "anything, or unset" is Any here: which keyword failed tells its type.
    errors: Iterable[Any] = _Validator(schema).iter_errors(document.data)
    return [problem for error in errors for problem in _explained(document, error, _place(schema, error))]


def _place(root: Mapping[str, Any], error: Any) -> Mapping[str, Any]:
    """The place in the schema that failed, with what stands beside a `$ref` (its description) taken over."""
    schema: Mapping[str, Any] = root
    for part in list(error.absolute_schema_path)[:-1]:
        schema = _followed(root, schema[part])
    return schema


def _followed(root: Mapping[str, Any], schema: Any) -> Any:
    if not isinstance(schema, Mapping) or "$ref" not in schema:
        return schema
    referred = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return {**referred, **{key: value for key, value in schema.items() if key != "$ref"}}


def _explained(document: Document, error: Any, schema: Mapping[str, Any]) -> Iterator[Problem]:
    path: KeyPath = tuple(error.absolute_path)
    match error.validator:
        case "additionalProperties":
            known = sorted(schema["properties"])
            for key in sorted(set(error.instance) - set(known)):
                yield document.problem((*path, key), "unknown key", suggestion(key, known))
        case "required":
            # One error stands for one key; jsonschema names it only inside the message.
            for key in error.validator_value:
                if key not in error.instance and f"'{key}'" in error.message:
                    yield document.problem(path, f"the key `{key}` is missing", _expected(schema))
        case "dependentRequired":
            for key, needed in error.validator_value.items():
                missing = [other for other in needed if other not in error.instance]
                if key in error.instance and missing and f"'{key}'" in error.message:
                    yield document.problem((*path, key), f"goes with `{missing[0]}`, which is not given here")
        case "oneOf" if not isinstance(error.instance, dict):
            pass  # that it is no mapping is told already
        case "uniqueItems":
            yield document.problem(path, f"one is given twice in {_shown(error.instance)}", "Keep one of each.")
        case "oneOf":
            both = all(key in error.instance for branch in error.validator_value for key in branch["required"])
            one, other = (branch["required"][0] for branch in error.validator_value)
            what = f"both `{one}` and `{other}`" if both else f"neither `{one}` nor `{other}`"
            fix = "Make them two." if both else f"Expected {schema['description']}."
            yield document.problem(path, what, fix)
        case "not":
            yield document.problem(path, _description(schema))
        case "propertyNames" | "minProperties" | "minItems" | "minLength":
            yield document.problem(path, f"expected {_description(schema)}, but it is empty")
        case _:
            yield _wrong_value(document, path, error, schema)


def _wrong_value(document: Document, path: KeyPath, error: Any, schema: Mapping[str, Any]) -> Problem:
    value = error.instance
    if "propertyNames" in error.absolute_schema_path:
        path = (*path, value)
    what = f"expected {_description(schema)}, but got {_shown(value)}"
    return document.problem(path, what, _fix(value, schema))


def _fix(value: object, schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    text = str(value)
    if isinstance(value, str) and any(quote in value for quote in TYPOGRAPHIC_QUOTES):
        return 'It holds a typographic quote, probably pasted from a web page: use " instead, or none.'
    if str(schema.get("description")).startswith("a lifetime") and not isinstance(value, str):
        return f"Give it a unit: {value}s." if type(value) is int else ""
    if isinstance(value, str) and value.startswith("~"):
        return "Write the whole path, or ~/ for your own home folder."
    if kind == "string" and isinstance(value, bool):
        return "Put it in quotes: without them YAML takes yes, no, on and off for true and false."
    if kind == "string" and isinstance(value, int | float):
        return f'Put it in quotes: "{text}".'
    if kind == "array" and isinstance(value, str | int | float):
        return f'Put it in brackets and quotes: ["{text}"].'
    if kind == "boolean" and isinstance(value, str):
        return "Write true or false, without quotes."
    if "enum" in schema and isinstance(value, str):
        return suggestion(value, [str(item) for item in schema["enum"]])
    if isinstance(value, str) and "http(s) URL" in str(schema.get("description")) and _HOST.match(value):
        return f"Write the whole URL, such as https://{value}."
    if isinstance(value, str) and "language" in str(schema.get("description")) and "_" in value:
        return f"Did you mean `{value.replace('_', '-')}`?"
    return ""


def _expected(schema: Mapping[str, Any]) -> str:
    return f"Expected {_description(schema)}."


def _description(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description") or f"a value of type {schema.get('type')}")


def _shown(value: object) -> str:
    text = _PASSWORD.sub(r"\1***@", json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 80 else text[:77] + "..."


def suggestion(word: str, known: Iterable[str]) -> str:
    """A sentence that names what was probably meant by `word`, or else all that is known."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{close[0]}`?"
    return f"Expected one of: {', '.join(known)}." if known else ""
