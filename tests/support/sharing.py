"""Share the tests out among processes (``pytest -n``) so that what several tests share is made once.

By default pytest-xdist hands out tests one by one, and every process builds the C library, builds the toy bundle and opens a
browser for itself. Here a file goes to one process as a whole, and so do the files of a folder that share a build.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

SHARED = {
    "tests/e2e/test_build.py": "tests/e2e",
    "tests/firmware/": "tests/firmware",
    "tests/browser/": "tests/browser",
    "tests/e2e/test_two_machines.py": "lanes",
    "tests/unit/train/tuning/test_postgresql.py": "lanes",
}
"""Tests that go to one process together, by the start of their name."""

_LONGEST = ("tests/e2e", "tests/firmware")
"""Groups that come first, as they take longest."""


def group_of(nodeid: str) -> str:
    """Return the name of the group that a test is handed out with: of its folder where that shares a build, or its file."""
    return next((group for start, group in SHARED.items() if nodeid.startswith(start)), nodeid.partition("::")[0])


def ranks_of(nodeids: Iterable[str], seed: str) -> dict[str, int]:
    """Return the place of each group of tests: the longest first, the others in an order that the seed draws.

    Where a slow machine has no time for all of them, each check then runs another part of the others.
    """
    groups = sorted({group_of(nodeid) for nodeid in nodeids} - set(_LONGEST))
    random.Random(seed).shuffle(groups)
    return {group: rank for rank, group in enumerate((*_LONGEST, *groups))}


def make_scheduler(config: Any, log: Any) -> Any:
    """Return pytest-xdist's scheduler that hands out groups of tests, in the order in which they were collected."""
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist tells mypy nothing of it
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return GroupScheduling(config, log)
