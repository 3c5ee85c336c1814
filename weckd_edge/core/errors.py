"""The errors that a user can meet, each with its code and the exit code of the command line.

A message says what was expected, what came, and what to do next, in one line. Everything that derives from
``WeckdError`` is shown without a traceback; anything else is a defect of this software.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import partial
from typing import Any

OUTSIDE_KEYS = "says what went wrong"


class WeckdError(Exception):
    """An error that the user can act on.

    Args:
        message: What was expected, what was found, and what to do, in one line.
        code: Kind of failure, for tests and scripts: one of ``weckd_edge.core.error_codes.MEANINGS``.
        lines: Lines of a program that solves it, for the user to copy; shown below the message.

    Attributes:
        exit_code: Exit code of the command line: 1 for a failure, 2 for a wrong request, 3 for a missed gate.
    """

    exit_code = 1

    def __init__(self, message: str, *, code: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.lines = lines

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross from worker processes; by itself, pickle would make them anew without their code.
        return partial(type(self), code=self.code), self.args, self.__dict__


class ConfigError(WeckdError):
    """A setting is unknown, of the wrong type, out of range, or contradicts another."""

    exit_code = 2


class DataError(WeckdError):
    """The images or their labels cannot be used as they are."""


class ModelError(WeckdError):
    """A network cannot be made, loaded, exported or quantized."""


class BundleError(WeckdError):
    """A bundle is incomplete, changed, of another schema, or not meant for this device."""


class DeviceError(WeckdError):
    """A device profile or the device itself is not what was expected."""


class StoreError(WeckdError):
    """A file or folder cannot be written or read."""


class MissingDependency(WeckdError):  # noqa: N818 - it names what is missing, as ModuleNotFoundError does
    """An optional library is absent, or present and broken."""


def first_line(text: BaseException | str, *, skip: tuple[str, ...] = ()) -> str:
    """Return the first line that is not empty, at most 200 characters of it, to quote in a message.

    Args:
        text: An error of a library, or its text. An error without a text gives the name of its type.
        skip: Lines that begin so are passed over while there are others.
    """
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    useful = [line for line in lines if not line.startswith(skip)] if skip else lines
    unsaid = "" if isinstance(text, str) else type(text).__name__
    return (useful or lines or [unsaid])[0][:200]


def last_line(err: BaseException) -> str:
    """Return the last line that is not empty, at most 200 characters of it; some libraries put the reason there."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return (lines or [type(err).__name__])[-1][:200]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'? Known: a, b, c"`` for an unknown name; the guess only where a known name is close."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    guess = f"; did you mean '{close[0]}'?" if close else "."
    shown = ", ".join(choices[:40]) + (", ..." if len(choices) > 40 else "")
    return f"{guess} Known: {shown}"
