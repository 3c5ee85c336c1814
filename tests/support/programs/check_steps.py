"""Steps of a check that runs as a program of its own, such as ``tests/dist_check.py``: one line each, and an exit status."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence


class CheckFailed(Exception):  # noqa: N818 - it says what happened
    """Something is not as it must be."""


class Skipped(Exception):  # noqa: N818 - it says what happened
    """This machine cannot try it."""


def run_steps(
    steps: Sequence[Callable[[], str]], *, required: bool = False, plain: Callable[[str], str] = str
) -> int | None:
    """Run the steps in their order until one fails or cannot be tried, and say what each found.

    Args:
        steps: Functions that return what they found, in words; their names are their titles.
        required: Whether a step that cannot be tried is a failure.
        plain: Function that leaves out of an error's text what is not worth showing.

    Returns:
        Exit status of the program where a step ended it; None where all passed.
    """
    for step in steps:
        begun_ns = time.monotonic_ns()
        title = step.__name__.replace("_", " ")
        try:
            found = step()
        except Skipped as err:
            return skip(title, err, required=required)
        except CheckFailed as err:
            sys.stderr.write(f"FAILED  {title}: {plain(str(err))}\n")
            return 1
        sys.stdout.write(f"ok {(time.monotonic_ns() - begun_ns) / 1e9:5.1f} s  {title}: {found}\n")
        sys.stdout.flush()
    return None


def skip(title: str, err: Skipped, *, required: bool) -> int:
    """Say why something was not tried; return the exit status."""
    sys.stdout.write(f"skipped  {title}: {err}\n")
    return int(required)
