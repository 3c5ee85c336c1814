"""Conversion between JSON or TOML and this package's frozen dataclasses, strict in both directions.

Unknown keys, missing keys and values of another type are refused with a message in terms of the file; nothing is coerced.
This is own code because msgspec and pydantic name Python types in their messages, and a device would need another compiled
library.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from weckd_edge.core.errors import ConfigError, WeckdError, did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


def to_data(value: object) -> Any:
    """Turn a dataclass into plain JSON data: dicts, lists, str, int, float, bool and None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_data(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_data(v) for v in value]
    return value


def to_json(value: object) -> str:
    """Return the canonical JSON text: sorted keys, one space of indent, a newline at the end."""
    return f"{_text(value, _NEW_LINE)}\n"


_NEW_LINE = "\n"


def _text(value: object, line: str) -> str:
    """Return the JSON of a value; ``line`` begins a new line of what holds it.

    The json module writes the same, but with an indent it does so in Python, in tens of small pieces for each record; an
    index of a million images has no memory for them.
    """
    if type(value) is int:
        return str(value)
    inner = f"{line} "
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [f"{key}: {_text(getattr(value, name), inner)}" for name, key in _keys(type(value))]
        return f"{{{inner}{f',{inner}'.join(parts)}{line}}}" if parts else "{}"
    if isinstance(value, Mapping):
        items = sorted({str(key): item for key, item in value.items()}.items(), key=lambda item: item[0])
        parts = [f"{_scalar(key)}: {_text(item, inner)}" for key, item in items]
        return f"{{{inner}{f',{inner}'.join(parts)}{line}}}" if parts else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{inner}{f',{inner}'.join(_text(item, inner) for item in value)}{line}]" if value else "[]"
    return _scalar(value)


_scalar = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


@cache
def _keys(kind: type[DataclassInstance]) -> tuple[tuple[str, str], ...]:
    """Return the fields of a dataclass, sorted, each with its JSON."""
    return tuple((name, _scalar(name)) for name in sorted(field.name for field in dataclasses.fields(kind)))


def from_data(kind: type[T], data: object, *, where: str = "", error: type[WeckdError] = ConfigError) -> T:
    """Build ``kind`` (a dataclass or a type used in one) from plain data.

    Args:
        kind: The type to build.
        data: Plain data, as read from JSON or TOML.
        where: Name of the place in messages, such as ``build.toml: [train]``.
        error: Class of the error to raise.

    Raises:
        WeckdError: ``error``, for an unknown or missing key, a value of another type, or a contradiction that the dataclass
            refuses.
    """
    result: T = _build(kind, data, where or kind.__name__, error)
    return result


def from_json(kind: type[T], text: str | bytes, *, where: str, error: type[WeckdError]) -> T:
    """Parse JSON as ``parse_json`` does, and build ``kind`` from it."""
    return from_data(kind, parse_json(text, where=where, error=error), where=where, error=error)


def parse_json(text: str | bytes, *, where: str, error: type[WeckdError], deepest: int | None = None) -> Any:
    """Parse JSON strictly: anything that some readers take and others refuse is refused.

    Refused are: bytes that are not UTF-8 or begin with a byte order mark, a key twice in one object, ``NaN``, infinities,
    numbers that are infinite as doubles, whole numbers of more than 63 bits and a sign, and texts with U+0000 or with half
    of a surrogate pair.

    Args:
        text: JSON text; bytes are UTF-8.
        where: Name of the place in messages.
        error: Class of the error to raise.
        deepest: Largest depth of nested lists and objects; None: as deep as the parser goes.

    Raises:
        WeckdError: ``error``, with what was found.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        data = json.loads(
            text, object_pairs_hook=_no_duplicates, parse_constant=_no_number, parse_float=_finite, parse_int=_whole
        )
    except (ValueError, RecursionError) as err:
        raise error(f"{where}: expected JSON, found something else ({err})", code="E_JSON") from err
    if "\\u" in text and (bad := next((found for found in _texts(data) if _NO_TEXT.search(found)), None)) is not None:
        raise error(f"{where}: expected texts of whole characters, got {ascii(bad)[:60]}", code="E_JSON")
    if deepest is not None and _depth(data) > deepest:
        raise error(f"{where}: expected at most {deepest} lists and objects in each other, found more", code="E_JSON")
    return data


_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""Characters that an escape in JSON can write and UTF-8, or a string of C, cannot."""


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _whole(text: str) -> int:
    # The length first: turning thousands of digits into a number takes long, and Python refuses more still.
    if len(text) > 20 or not -(1 << 63) <= int(text) < 1 << 63:
        raise ValueError(f"{text[:40]} does not fit into 64 bits")
    return int(text)


def _texts(data: Any) -> Iterator[str]:
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _depth(data: Any) -> int:
    depth, level = 0, [data]
    while level := [value for value in level if isinstance(value, (dict, list))]:
        depth += 1
        level = [inner for value in level for inner in (value.values() if isinstance(value, dict) else value)]
    return depth


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _build(kind: Any, data: Any, where: str, error: type[WeckdError]) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return data
    if origin in (Union, types.UnionType):
        return _build_union(kind, data, where, error)
    if origin is Literal:
        if data not in get_args(kind):
            known = [str(a) for a in get_args(kind)]
            raise error(f"{where}: unknown value {data!r}{did_you_mean(str(data), known)}", code="E_RECORD_CHOICE")
        return data
    if origin is tuple:
        return _build_tuple(kind, data, where, error)
    if isinstance(kind, type) and issubclass(kind, tuple):  # a tuple with methods, such as the labels
        return kind(_build_tuple(kind.__orig_bases__[0], data, where, error))  # type: ignore[attr-defined]  # it names its items
    if origin is dict:
        if not isinstance(data, dict):
            raise error(f"{where}: expected a table, got {_describe(data)}", code="E_RECORD_TYPE")
        inner = get_args(kind)[1]
        return {str(k): _build(inner, v, f"{where}.{k}", error) for k, v in data.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _build_dataclass(kind, data, where, error)
    return _build_scalar(kind, data, where, error)


def _build_union(kind: Any, data: Any, where: str, error: type[WeckdError]) -> Any:
    options = get_args(kind)
    if data is None and type(None) in options:
        return None
    failures = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _build(option, data, where, error)
        except WeckdError as err:
            failures.append(err)
    raise failures[0]


def _build_tuple(kind: Any, data: Any, where: str, error: type[WeckdError]) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise error(f"{where}: expected a list, got {_describe(data)}", code="E_RECORD_TYPE")
    args = get_args(kind)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_build(args[0], v, f"{where}[{i}]", error) for i, v in enumerate(data))
    if len(args) != len(data):
        raise error(f"{where}: expected {len(args)} values, got {len(data)}", code="E_RECORD_TYPE")
    return tuple(_build(a, v, f"{where}[{i}]", error) for i, (a, v) in enumerate(zip(args, data, strict=True)))


def _build_scalar(kind: Any, data: Any, where: str, error: type[WeckdError]) -> Any:
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        try:
            return float(data)
        except OverflowError as err:
            raise error(f"{where}: expected a number, got one that is too large", code="E_RECORD_TYPE") from err
    if (kind in (int, float) and isinstance(data, bool)) or not isinstance(data, kind):
        raise error(f"{where}: expected {_NAMES.get(kind, kind.__name__)}, got {_describe(data)}", code="E_RECORD_TYPE")
    return data


_NAMES = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


def _describe(data: object) -> str:
    text = repr(data)
    return text if len(text) < 60 else f"{type(data).__name__} of length {len(text)}"


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _required(kind: type[DataclassInstance]) -> dict[str, bool]:
    """Return whether each field of a dataclass must be given."""
    missing = dataclasses.MISSING
    return {f.name: f.default is missing and f.default_factory is missing for f in dataclasses.fields(kind)}


def _build_dataclass(kind: type[DataclassInstance], data: Any, where: str, error: type[WeckdError]) -> Any:
    if not isinstance(data, dict):
        raise error(f"{where}: expected a table, got {_describe(data)}", code="E_RECORD_TYPE")
    required = _required(kind)
    for key in data:
        if key not in required:
            raise error(f"{where}: unknown key '{key}'{did_you_mean(str(key), required)}", code="E_RECORD_KEY_UNKNOWN")
    for name, is_required in required.items():
        if is_required and name not in data:
            raise error(f"{where}: the key '{name}' is missing", code="E_RECORD_KEY_MISSING")
    hints = _hints(kind)
    values = {
        # Most values of an index of a million images are texts and numbers.
        name: value if type(value) is hints[name] else _build(hints[name], value, f"{where}.{name}", error)
        for name, value in data.items()
    }
    try:
        return kind(**values)
    except WeckdError as err:
        raise error(f"{where}: {err}", code=err.code) from err
