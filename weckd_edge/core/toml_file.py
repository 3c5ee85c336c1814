"""Reading of TOML files: bounded in size, depth and numbers."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import Any

from weckd_edge.core.errors import ConfigError, WeckdError
from weckd_edge.core.files import read_bounded

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1 << 20
DEEPEST = 32
"""Largest depth of nested tables and lists."""

_MAX_KEY_PARTS = 1000
_KEY_LETTERS = re.compile(r"""[A-Za-z0-9_\-."' \t]+""")


def read_toml(path: Path, *, error: type[WeckdError] = ConfigError) -> dict[str, Any]:
    """Read a TOML file; a byte order mark at its start is skipped.

    Args:
        path: The file.
        error: Class of the error to raise.

    Raises:
        WeckdError: ``error``, where the file cannot be read, is larger than 1 MiB, or is not TOML within these limits.
    """
    data = read_bounded(path, at_most=MAX_BYTES, where=str(path), error=error)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise error(f"{path}: expected TOML in UTF-8, cannot be read as that ({err})", code="E_TOML") from err
    return parse_toml(text, where=str(path), error=error)


def parse_toml(text: str, *, where: str, error: type[WeckdError] = ConfigError) -> dict[str, Any]:
    """Parse TOML text.

    Args:
        text: TOML text without a byte order mark.
        where: Name of the place in messages.
        error: Class of the error to raise.

    Raises:
        WeckdError: ``error``, where the text is not TOML, is nested too deeply, or holds a number that is not finite or
            takes more than 64 bits.
    """
    # The parser's time grows with the square of a key's parts.
    if any(run.group().count(".") > _MAX_KEY_PARTS for run in _KEY_LETTERS.finditer(text)):
        raise error(f"{where}: expected keys of a few parts, found one of more than {_MAX_KEY_PARTS}", code="E_TOML")
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except RecursionError as err:
        raise error(
            f"{where}: tables or lists are nested too deeply; expected at most {DEEPEST} levels", code="E_TOML"
        ) from err
    except ValueError as err:  # a TOMLDecodeError, or a number of thousands of digits
        raise error(f"{where}: expected TOML ({err})", code="E_TOML") from err
    _check(data, where, error)
    return data


def _check(data: dict[str, Any], where: str, error: type[WeckdError]) -> None:
    waiting: list[tuple[str, Any, int]] = [("", data, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        if depth > DEEPEST:
            raise error(f"{where}: tables or lists are nested too deeply; expected at most {DEEPEST} levels", code="E_TOML")
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}" if name else key, inner, depth + 1) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(name, inner, depth + 1) for inner in value]
        elif isinstance(value, float) and not math.isfinite(value):
            raise error(f"{where}: {name} = {value}: expected a finite number; remove it if there is none", code="E_TOML")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise error(
                f"{where}: {name}: expected an integer of at most 64 bits, found one of {value.bit_length()}",
                code="E_TOML",
            )
