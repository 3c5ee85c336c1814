"""Tell the libraries that train and run networks how to use the machine, before they are imported."""

from __future__ import annotations

import os


def set_up_libraries() -> None:
    """Set what OpenMP and cuBLAS read from the environment, where the user has not."""
    # Threads that wait without spinning: as fast alone, and nearly twice as fast beside another run (see benchmarks/).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # A fixed workspace, without which cuBLAS adds in another order from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
