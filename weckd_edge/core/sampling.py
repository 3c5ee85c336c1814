"""Each class in turn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Labelled(Protocol):
    """What belongs to a class."""

    @property
    def label(self) -> int:
        """Number of its class."""


T = TypeVar("T", bound=Labelled)


def round_robin(items: Iterable[T]) -> list[T]:
    """Put things in an order that takes one of each class in turn, keeping the order inside a class."""
    seen: dict[int, int] = {}
    placed = []
    for item in items:
        seen[item.label] = seen.get(item.label, -1) + 1
        placed.append((seen[item.label], item.label, item))
    return [item for _, _, item in sorted(placed, key=lambda place: place[:2])]
