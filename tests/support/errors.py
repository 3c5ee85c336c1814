"""Errors by their code, so that a test holds what failed and a sentence may be rewritten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from weckd_edge.core.error_codes import MEANINGS
from weckd_edge.core.errors import WeckdError

E = TypeVar("E", bound=WeckdError)


@contextmanager
def raises(kind: type[E], code: str, *, says: tuple[str, ...] | str = ()) -> Iterator[pytest.ExceptionInfo[E]]:
    """Expect an error of a class and a code.

    Args:
        kind: Its class.
        code: Its code, one that docs/errors.md explains.
        says: Facts that the message must name: a file, a number, an option to give. Not its prose.
    """
    assert code in MEANINGS, f"{code} is no code; weckd_edge.core.error_codes lists them"
    with pytest.raises(kind) as caught:
        yield caught
    found = caught.value
    assert found.code == code, f"expected {code}, got {found.code}: {found}"
    for fact in (says,) if isinstance(says, str) else says:
        assert fact in str(found), f"expected '{fact}' in: {found}"


def printed(stderr: str, code: str, *, says: tuple[str, ...] | str = ()) -> bool:
    """Return whether the command line ended with one error, of this code, that names these facts."""
    assert code in MEANINGS, f"{code} is no code; weckd_edge.core.error_codes lists them"
    last = stderr.splitlines()[-1] if stderr else ""
    assert last.startswith(f"error[{code}]: "), f"expected {code}, got: {stderr}"
    for fact in (says,) if isinstance(says, str) else says:
        assert fact in last, f"expected '{fact}' in: {last}"
    return True
