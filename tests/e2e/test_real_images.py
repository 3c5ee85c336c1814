"""What the tool finds in real otoscope images, where they are at hand: beside the checkout, in ``shared/data``."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

CHILE = Path(__file__).resolve().parents[3] / "shared/data/otoscopy_chile"

pytestmark = pytest.mark.skipif(not CHILE.is_dir(), reason="the real images are not beside this checkout")


@pytest.fixture(scope="module")
def found(process: Any) -> Any:
    done = process("data", "check", CHILE / "groups.csv", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def listed() -> dict[str, dict[str, str]]:
    with (CHILE / "groups.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_the_68_test_files_that_copy_a_training_file_are_named(found: Any, listed: dict[str, dict[str, str]]) -> None:
    assert found["published_split"]["test_images"] == 160
    assert found["published_split"]["leaking_test_images"] == 68
    assert len({leak["test"] for leak in found["leaks"]}) == 68
    for leak in found["leaks"]:
        assert listed[leak["test"]]["published_split"] == "test"
        assert listed[leak["train"]]["published_split"] == "train"
        assert (CHILE / leak["test"]).read_bytes() == (CHILE / leak["train"]).read_bytes()


def test_copies_are_found_from_the_pixels(found: Any, listed: dict[str, dict[str, str]]) -> None:
    assert found["images"] == 880
    assert found["exact_duplicates"] == sum(bool(row["duplicate_of"]) for row in listed.values())


def test_near_duplicate_clusters_are_found_without_any_setting(process: Any, listed: dict[str, dict[str, str]]) -> None:
    """From the folder alone: the CSV, which names the clusters, is not read."""
    import itertools

    from weckd_edge.config import DataConfig
    from weckd_edge.core.progress import SilentProgress
    from weckd_edge.train.data.index import build_index

    index = build_index(CHILE, DataConfig(), labelled_subsets=3, seed=0, skip_bad=False, progress=SilentProgress())
    ours = {image.path: image.group for image in index.images}
    pairs = list(itertools.combinations(sorted(ours), 2))
    same = [listed[a]["group"] == listed[b]["group"] for a, b in pairs]
    together = [ours[a] == ours[b] for a, b in pairs]
    both = sum(x and y for x, y in zip(same, together, strict=True))
    assert both / sum(same) > 0.75
    assert both / sum(together) > 0.95
