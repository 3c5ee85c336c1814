"""Each test here runs on the CPU in every suite, and on a GPU under the mark ``gpu``, by the same body."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch

ON_GPU = pytest.param("gpu", marks=pytest.mark.gpu)


@pytest.fixture(params=["cpu", ON_GPU])
def accelerator(request: pytest.FixtureRequest) -> str:
    """Device that trains, as ``[train] accelerator`` names it."""
    found: str = request.param
    if found == "gpu" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return found


@pytest.fixture
def device(accelerator: str) -> torch.device:
    """Device that trains, as torch names it."""
    return torch.device("cuda", 0) if accelerator == "gpu" else torch.device("cpu")


@pytest.fixture(scope="session")
def halves() -> ModuleType:
    """A data set that can be learned in some steps, and its student: see ``support/training/bright_halves.py``."""
    return importlib.import_module("support.training.bright_halves")
