"""The C library reads the bundles of each format that are kept."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("bundle-v*") if path.is_dir()))
def test_both_readers_take_it_signed_and_unsigned(name: str, readers: ModuleType, library: Any) -> None:
    kept = FIXTURES / name
    with readers.both(library.folder / "tests/verdicts", kept, key=kept.with_suffix(".pub")) as both:
        assert both.verdicts() == (None, None)
        assert both.verdicts(signed=True) == (None, None)
