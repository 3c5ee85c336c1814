"""Let PyTorch run the same kernels in the same order each time."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Run a block with deterministic kernels and a set number of processor threads; put both back afterwards.

    A GPU lacks some such kernels. cuBLAS adds in one order where ``CUBLAS_WORKSPACE_CONFIG`` is set before it is loaded.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    uninitialized: Any = torch.utils.deterministic
    filling = uninitialized.fill_uninitialized_memory
    torch.set_num_threads(threads or os.cpu_count() or 1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    uninitialized.fill_uninitialized_memory = False  # it only shows defects, and costs a write of all memory
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        uninitialized.fill_uninitialized_memory = filling


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Run a block with the whole of FP32 in a GPU's convolutions, which else drop thirteen bits; put it back afterwards."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    _allow_tf32(False)
    try:
        yield
    finally:
        _allow_tf32(before)


def _allow_tf32(allowed: bool) -> None:
    with warnings.catch_warnings():
        # From torch 2.9 on there is a second setting for the same, which 2.8 has not.
        warnings.filterwarnings("ignore", message="Please use the new API settings to control TF32")
        torch.backends.cudnn.allow_tf32 = allowed
