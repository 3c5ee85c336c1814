"""Keep what a teacher predicted of each view of an epoch, on the device where it predicted it."""

from __future__ import annotations

import torch
from torch import Tensor


class TeacherCache:
    """Predictions of one teacher in an epoch, by the slot of the view.

    Which slots are known is kept on the CPU, so that a GPU is never asked.
    """

    def __init__(self) -> None:
        self.epoch = -1
        self._known = torch.zeros(0, dtype=torch.bool)
        self._logits = torch.zeros(0)
        self._maps: Tensor | None = None

    def turn_to(self, epoch: int) -> None:
        """Forget another epoch's predictions, whose slots were other views."""
        if epoch != self.epoch:
            self.epoch = epoch
            self._known.zero_()

    def missing(self, slots: Tensor) -> Tensor:
        """Return the positions ``[n]`` of those slots ``[B]`` whose view the teacher has not seen; both on the CPU."""
        self._make_room(int(slots.max()) + 1)
        return (~self._known[slots]).nonzero().squeeze(1)

    def add(self, slots: Tensor, logits: Tensor, maps: Tensor | None) -> None:
        """Keep logits ``[b, classes]`` and maps ``[b, 1, h, w]`` of slots ``[b]`` on the CPU."""
        there = slots.to(logits.device, non_blocking=True)
        self._known[slots] = True
        self._logits = _put(self._logits, there, logits, len(self._known))
        if maps is not None:
            self._maps = _put(torch.zeros(0) if self._maps is None else self._maps, there, maps, len(self._known))

    def of(self, slots: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the predictions and maps of views that were all added before, by their slots ``[B]`` on the CPU."""
        there = slots.to(self._logits.device, non_blocking=True)
        return self._logits[there], None if self._maps is None else self._maps[there]

    def _make_room(self, count: int) -> None:
        if count > len(self._known):
            more = max(count, 2 * len(self._known)) - len(self._known)
            self._known = torch.cat([self._known, torch.zeros(more, dtype=torch.bool)])


def _put(kept: Tensor, slots: Tensor, values: Tensor, room: int) -> Tensor:
    """Put values ``[b, ...]`` into their slots; return the tensor of all slots, which is enlarged to ``room``."""
    if len(kept) < room:
        larger = values.new_zeros((room, *values.shape[1:]))
        if len(kept):
            larger[: len(kept)] = kept
        kept = larger
    kept[slots] = values
    return kept
