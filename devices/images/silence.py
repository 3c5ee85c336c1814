"""Keep libraries that decode pictures from warning and logging: what they quote of a file may be a person's name."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_filters = threading.Lock()


@contextmanager
def silenced(logger: str | None = None) -> Iterator[None]:
    """Ignore warnings in a block of code, and what a library's logger hands on to the program's handlers.

    Filters of warnings belong to the whole process, so one thread at a time is in such a block: keep it short.

    Args:
        logger: Name of the library's logger; None leaves all loggers alone.
    """
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        named = logging.getLogger(logger) if logger else None
        hands_on = named.propagate if named else False
        try:
            if named:
                named.propagate = False
            yield
        finally:
            if named:
                named.propagate = hands_on
