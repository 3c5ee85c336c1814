"""What holds for a block alone: deterministic kernels, threads, full precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from weckd_edge.train.distill.reproducible import full_precision, reproducible


def state() -> tuple[Any, ...]:
    uninitialized: Any = torch.utils.deterministic
    return (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        uninitialized.fill_uninitialized_memory,
        torch.backends.cudnn.allow_tf32,
    )


def fail_after(seen: list[tuple[Any, ...]]) -> None:
    """Take note of the state, then fail."""
    seen.append(state())
    raise KeyError


def test_kernels_are_deterministic_in_the_block_alone_also_where_it_fails() -> None:
    before = state()
    inside: list[tuple[Any, ...]] = []
    with pytest.raises(KeyError), reproducible(1):
        fail_after(inside)
    assert inside == [(1, True, False, before[3])]
    assert state() == before


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_a_gpu_drops_no_bits_in_the_block_alone_also_where_it_fails(kind: str) -> None:
    before = state()
    inside: list[tuple[Any, ...]] = []
    with pytest.raises(KeyError), full_precision(torch.device(kind)):
        fail_after(inside)
    assert [found[3] for found in inside] == [kind == "cpu"]
    assert state() == before
    assert before[3] is True
