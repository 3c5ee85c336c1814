"""Orders that sample every class alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Labelled(Protocol):
    """An item that belongs to a class."""

    @property
    def label(self) -> int:
        """Index of the item's class."""


T = TypeVar("T", bound=Labelled)


def round_robin(items: Iterable[T]) -> list[T]:
    """Return the items in an order that takes one of each class in turn and keeps the order inside a class."""
    seen: dict[int, int] = {}
    placed = []
    for item in items:
        seen[item.label] = seen.get(item.label, -1) + 1
        placed.append((seen[item.label], item.label, item))
    return [item for _, _, item in sorted(placed, key=lambda place: place[:2])]
