"""Errors by their code, so that a test holds what failed and a sentence may be rewritten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from weckd_edge.core.error_codes import MEANINGS
from weckd_edge.core.errors import WeckdError

E = TypeVar("E", bound=WeckdError)


@contextmanager
def raises(kind: type[E], *codes: str, says: tuple[str, ...] | str = ()) -> Iterator[pytest.ExceptionInfo[E]]:
    """Expect an error of a class and a code.

    Args:
        kind: Its class.
        codes: Its code, one that docs/reference/errors.md explains; several, where drawn input decides which of them it is.
        says: Facts that the message must name: a file, a number, an option to give. Not its prose.
    """
    assert codes, "name the code"
    for code in codes:
        assert code in MEANINGS, f"{code} is no code; weckd_edge.core.error_codes lists them"
    with pytest.raises(kind) as caught:
        yield caught
    found = caught.value
    assert found.code in codes, f"expected {' or '.join(codes)}, got {found.code}: {found}"
    assert_says(str(found), says)


def printed(stderr: str, code: str, *, says: tuple[str, ...] | str = ()) -> bool:
    """Return whether the command line ended with one error, of this code, that names these facts."""
    assert code in MEANINGS, f"{code} is no code; weckd_edge.core.error_codes lists them"
    last = stderr.splitlines()[-1] if stderr else ""
    assert last.startswith(f"error[{code}]: "), f"expected {code}, got: {stderr}"
    assert_says(last, says)
    return True


def assert_says(message: str, says: tuple[str, ...] | str) -> None:
    """Check that a message names facts, each as a whole: the number 4 is not in 14."""
    for fact in (says,) if isinstance(says, str) else says:
        before, after = (r"(?<!\w)" if fact[:1].isalnum() else "", r"(?!\w)" if fact[-1:].isalnum() else "")
        assert re.search(before + re.escape(fact) + after, message), f"expected '{fact}' in: {message}"
