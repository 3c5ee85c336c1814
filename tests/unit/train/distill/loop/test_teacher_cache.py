"""What a teacher predicted of the views of an epoch is kept by their slots, and forgotten with the epoch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weckd_edge.train.distill.loop.teacher_cache import TeacherCache


def outputs(slots: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits and a map that tell their slot."""
    return torch.stack([slots, -slots], dim=1).float(), slots.float().view(-1, 1, 1, 1).expand(-1, 1, 2, 3)


@pytest.mark.parametrize("with_maps", [True, False])
def test_each_slot_keeps_its_own_outputs_while_others_come(with_maps: bool) -> None:
    kept, order = TeacherCache(), torch.randperm(50, generator=torch.Generator().manual_seed(0))
    kept.turn_to(0)
    for some in order.split(7):
        assert kept.missing(some).tolist() == list(range(len(some)))
        logits, maps = outputs(some)
        kept.add(some, logits, maps if with_maps else None)
    asked = torch.tensor([49, 0, 7, 7, 23])
    assert not len(kept.missing(asked))
    logits, found = kept.of(asked)
    assert torch.equal(logits, outputs(asked)[0])
    assert found is None if not with_maps else torch.equal(found, outputs(asked)[1])


def test_only_slots_that_were_not_seen_are_missing() -> None:
    kept = TeacherCache()
    kept.turn_to(3)
    kept.add(seen := torch.tensor([2, 5])[kept.missing(torch.tensor([2, 5]))], *outputs(seen))
    assert kept.missing(torch.tensor([9, 5, 4, 2])).tolist() == [0, 2]


def test_another_epoch_begins_with_nothing() -> None:
    kept, slots = TeacherCache(), torch.arange(4)
    kept.turn_to(0)
    kept.add(slots[kept.missing(slots)], *outputs(slots))
    kept.turn_to(0)
    assert not len(kept.missing(slots))
    kept.turn_to(1)
    assert len(kept.missing(slots)) == 4
