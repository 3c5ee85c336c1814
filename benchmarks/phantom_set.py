"""Drawn images on which benchmarks build networks whose accuracy does not matter."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.config import DataConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data.index import build_index
from weckd_edge.train.data.synth.phantoms import write_phantoms


def draw_set(root: Path, images: int) -> DatasetIndex:
    """Draw images into a folder, which must not exist, and return their index with one labelled subset."""
    write_phantoms(root, SilentProgress(), images=images)
    return build_index(
        root / "groups.csv",
        DataConfig(labelled_fraction=0.3),
        labelled_subsets=1,
        seed=0,
        skip_bad=False,
        progress=SilentProgress(),
    )
