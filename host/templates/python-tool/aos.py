"""Tools from functions: type hints and a docstring become a tool's schema and description.

    @tool(read_only=True)
    def half(number: float) -> float:
        '''Halves a number.

        number: the number to halve
        '''
        return number / 2

A parameter is a `str`, `int`, `float`, `bool`, `list[...]`, `dict[str, ...]`, a `Literal`, an
`Annotated` with a description, `X | None`, or a dataclass of these. A default makes it optional.
What is raised reaches the caller as a typed error: `InvalidArguments`, `Unavailable`, `ToolError`;
any other exception is `failed` with its message, and its traceback is on stderr. A function that
returns `Answer[T]` has a text for readers beside the value for programs.

This file knows nothing of WebAssembly: tests import it as it is.
"""

import dataclasses
import inspect
import json
import re
import sys
import traceback
import types
import typing


class ToolError(Exception):
    """The tool could not do it: one sentence for the caller."""


class InvalidArguments(ToolError):
    """An argument that passes the schema and still does not fit."""


class Unavailable(ToolError):
    """What the tool depends on did not answer; later may help."""


class UnknownTool(ToolError):
    """There is no tool of that name."""


T = typing.TypeVar("T")


class Answer(typing.Generic[T]):
    """The same result twice: a text for readers, a value for programs. The schema is the value's."""

    def __init__(self, text: str, value: T):
        self.text = text
        self.value = value


_tools = {}


def tool(function=None, *, read_only=False, additive=False, idempotent=False, open_world=False, title=None):
    """Makes a tool of a function. What is said of it is a promise to the host.

    read_only: it changes nothing outside; additive: it writes, and never removes or overwrites;
    idempotent: a second equal call changes nothing more; open_world: it reaches other machines.
    """

    def register(function):
        name = function.__name__
        if not re.fullmatch("[a-z][a-z0-9_]{0,47}", name):
            raise TypeError(f"{name}: a tool's name is a-z, 0-9 and _, and begins with a letter")
        if name in _tools:
            raise TypeError(f"there are two tools {name}")
        summary, described = _docstring(function)
        if not summary:
            raise TypeError(f"{name} has no docstring: a caller knows nothing else of it")
        hints = typing.get_type_hints(function, include_extras=True)
        properties, required = {}, []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(f"{name}: *{parameter.name} has no schema; name each parameter")
            if parameter.name not in hints:
                raise TypeError(f"{name}: the parameter {parameter.name} has no type hint")
            schema = _schema(hints[parameter.name], f"{name}({parameter.name})")
            if parameter.name in described:
                schema["description"] = described[parameter.name]
            if parameter.default is parameter.empty:
                required.append(parameter.name)
            elif parameter.default is not None:
                schema["default"] = parameter.default
            properties[parameter.name] = schema
        definition = {
            "name": name,
            "title": title,
            "description": summary,
            "input_schema": {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            },
            "behaviour": {
                "read_only": read_only,
                "destructive": not (read_only or additive),
                "idempotent": idempotent,
                "open_world": open_world,
            },
        }
        result = hints.get("return", str)
        if typing.get_origin(result) is Answer:
            [result] = typing.get_args(result)
        if result not in (str, type(None)):
            schema = _schema(result, f"{name} returns")
            definition["output_schema"] = schema if schema.get("type") == "object" else {
                "type": "object",
                "properties": {"result": schema},
                "required": ["result"],
            }
        _tools[name] = (function, hints, definition)
        return function

    return register if function is None else register(function)


def definitions():
    """The catalogue, in the order of the functions."""
    return [definition for _, _, definition in _tools.values()]


def call(name, arguments):
    """Calls a tool with a dict of arguments; returns its text, and its value or None."""
    if name not in _tools:
        raise UnknownTool(f"there is no tool {name}; there are {', '.join(_tools)}")
    function, hints, definition = _tools[name]
    known = definition["input_schema"]["properties"]
    for key in arguments:
        if key not in known:
            raise InvalidArguments(f"$.{key}: there is no such argument")
    for key in definition["input_schema"]["required"]:
        if key not in arguments:
            raise InvalidArguments(f"$.{key}: it is missing")
    typed = {key: _typed(hints[key], value) for key, value in arguments.items()}
    result = function(**typed)
    if isinstance(result, Answer):
        value = _plain(result.value)
        return result.text, value if isinstance(value, dict) else {"result": value}
    value = _plain(result)
    if value is None:
        return "done", None
    if "output_schema" not in definition:
        return str(value), None
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False), value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text, {"result": value}


def print_traceback(error):
    """Where it was raised, on stderr, for the author."""
    traceback.print_exception(error, file=sys.stderr)


def _docstring(function):
    """The text before the parameters, and a description of each `name: text` below it."""
    text = inspect.getdoc(function) or ""
    names = set(inspect.signature(function).parameters)
    summary, described, last = [], {}, None
    for line in text.splitlines():
        head, colon, rest = line.strip().partition(":")
        if colon and head in names:
            described[head], last = rest.strip(), head
        elif last and line.strip():
            described[last] += " " + line.strip()
        elif last is None:
            summary.append(line)
    return "\n".join(summary).strip(), described


_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def _schema(hint, where):
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if hint is typing.Any:
        return {}
    if origin is typing.Annotated:
        described = [extra for extra in inside[1:] if isinstance(extra, str)]
        bounds = [extra for extra in inside[1:] if isinstance(extra, dict)]
        schema = _schema(inside[0], where)
        for bound in bounds:
            schema.update(bound)
        return {**schema, "description": described[0]} if described else schema
    if origin is typing.Literal:
        return {"enum": list(inside)}
    if origin in (typing.Union, types.UnionType):
        several = [_schema(one, where) for one in inside]
        if all(list(one) == ["type"] for one in several):
            return {"type": [one["type"] for one in several]}
        return {"anyOf": several}
    if hint is list or origin is list:
        return {"type": "array", "items": _schema(inside[0], where) if inside else {}}
    if hint is dict or origin is dict:
        if inside and inside[0] is not str:
            raise TypeError(f"{where}: the keys of a JSON object are str, not {inside[0]}")
        return {"type": "object", "additionalProperties": _schema(inside[1], where) if inside else {}}
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        fields = dataclasses.fields(hint)
        missing = dataclasses.MISSING
        return {
            "type": "object",
            "properties": {field.name: _schema(hints[field.name], where) for field in fields},
            "required": [
                field.name
                for field in fields
                if field.default is missing and field.default_factory is missing
            ],
            "additionalProperties": False,
        }
    raise TypeError(f"{where}: {hint} has no JSON schema; take str, int, float, bool, list, dict, "
                    "Literal, Annotated, X | None or a dataclass")


def _typed(hint, value):
    """A JSON value as the hint has it: only dataclasses and numbers differ."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _typed(inside[0], value)
    if hint is int and isinstance(value, float):
        return int(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint, include_extras=True)
        return hint(**{key: _typed(hints[key], item) for key, item in value.items()})
    if origin is list and inside and isinstance(value, list):
        return [_typed(inside[0], item) for item in value]
    if origin is dict and inside and isinstance(value, dict):
        return {key: _typed(inside[1], item) for key, item in value.items()}
    if origin in (typing.Union, types.UnionType) and isinstance(value, dict):
        for one in inside:
            if dataclasses.is_dataclass(one):
                return _typed(one, value)
    return value


def _plain(value):
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
