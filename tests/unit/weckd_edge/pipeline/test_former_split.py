"""An imported link's data set keeps the split of its build where it is the same data set, and says so where it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from support import crafted_dicom
from support.errors import raises
from weckd_edge.artifacts import DatasetIndex
from weckd_edge.config import BuildConfig, DataConfig
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.pipeline.context import choose_profile, start
from weckd_edge.pipeline.request import BuildRequest
from weckd_edge.pipeline.steps.read_data import read_data_of_import
from weckd_edge.train.data.index import build_index

Rows = dict[str, dict[str, str]]

CONFIG = BuildConfig(data=DataConfig(labelled_fraction=0.2))
OTHER_SEED = replace(CONFIG, seed=99)


class Noting(SilentProgress):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def write(path: Path, rows: Rows) -> None:
    columns = list(next(iter(rows.values())))
    lines = [",".join(("path", *columns)), *(",".join((image, *row.values())) for image, row in rows.items())]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def rows(ears: Path) -> Rows:
    """Rows of a CSV beside the images: two images for each patient."""
    images = sorted(path.relative_to(ears).as_posix() for path in ears.rglob("*.png"))
    return {path: {"label": path.split("/")[0], "group": f"p{number // 2}"} for number, path in enumerate(images)}


@pytest.fixture
def former(ears: Path, rows: Rows) -> DatasetIndex:
    """Data set of a build that was made of the CSV."""
    write(ears / "ears.csv", rows)
    return indexed(ears / "ears.csv")


def indexed(path: Path) -> DatasetIndex:
    return build_index(
        path, CONFIG.data, labelled_subsets=len(CONFIG.link), seed=CONFIG.seed, skip_bad=False, progress=SilentProgress()
    )


def read(path: Path, former: DatasetIndex, work: Path, config: BuildConfig = OTHER_SEED) -> tuple[DatasetIndex, list[str]]:
    """Read the data for a link of the former build; return its index, and what was said of the split."""
    request = BuildRequest(data=path, target="cpu", device=None, out=work / "out", config=config)
    progress = Noting()
    ctx = start(request, choose_profile("cpu", None), Workspace(work / "out.work"), progress)
    source: Any = SimpleNamespace(former=former, labels=former.labels)
    index = read_data_of_import(ctx, source)
    return index, [note for note in progress.notes if "the split of the build that trained it" in note]


def test_the_same_csv_keeps_the_split_whatever_the_seed(ears: Path, former: DatasetIndex, tmp_path: Path) -> None:
    found, said = read(ears / "ears.csv", former, tmp_path)
    assert found == former
    assert said == ["the split of the build that trained it is kept"]
    assert read(ears / "ears.csv", former, tmp_path)[0] == former


def test_a_further_column_and_a_copy_change_nothing_of_the_split(
    ears: Path, rows: Rows, former: DatasetIndex, tmp_path: Path
) -> None:
    first = next(iter(rows))
    (ears / "copy.png").write_bytes((ears / first).read_bytes())
    more = {path: {**row, "site": f"s{number % 2}"} for number, (path, row) in enumerate(rows.items())}
    write(ears / "ears.csv", {**more, "copy.png": more[first]})
    found, _ = read(ears / "ears.csv", former, tmp_path)
    assert {one.path: (one.split, one.labelled_subset) for one in found.images} == {
        one.path: (one.split, one.labelled_subset) for one in former.images
    }
    assert {value.value for one in found.images for value in one.attributes} == {"s0", "s1"}


def relabel(rows: Rows, ears: Path) -> str:
    rows["dark/0.png"]["label"] = "light"
    return "dark/0.png is of the class 'light', and was of 'dark'"


def regroup(rows: Rows, ears: Path) -> str:
    rows["dark/1.png"]["group"] = "p1"
    return "dark/10.png is of another group"


def forget_groups(rows: Rows, ears: Path) -> str:
    for row in rows.values():
        del row["group"]
    return "0 of its images name a group, and 24 did"


def publish(rows: Rows, ears: Path) -> str:
    for number, row in enumerate(rows.values()):
        row["split"] = "test" if number % 12 < 2 else "train"
    return "dark/0.png is of another published split"


def leave_out(rows: Rows, ears: Path) -> str:
    del rows["light/11.png"]
    return "light/11.png is not among the images"


def draw_anew(rows: Rows, ears: Path) -> str:
    Image.effect_noise((40, 36), 80).convert("RGB").save(ears / "light/5.png")
    return "light/5.png is another file"


def add(rows: Rows, ears: Path) -> str:
    Image.effect_noise((40, 36), 80).convert("RGB").save(ears / "new.png")
    rows["new.png"] = {"label": "light", "group": "p99"}
    return "new.png was not among the images"


@pytest.mark.parametrize("change", [relabel, regroup, forget_groups, publish, leave_out, draw_anew, add])
def test_another_data_set_has_a_split_of_its_own_for_a_reason_that_is_named(
    ears: Path, rows: Rows, former: DatasetIndex, tmp_path: Path, change: Callable[[Rows, Path], str]
) -> None:
    reason = change(rows, ears)
    write(ears / "corrected.csv", rows)
    with raises(DataError, "E_DATA_TRAINED_ON", says=(reason, "give that build's very data set")):
        read(ears / "corrected.csv", former, tmp_path)
    unseen = replace(former, images=tuple(replace(one, split="test") for one in former.images))
    found, said = read(ears / "corrected.csv", unseen, tmp_path)
    assert said == [f"the split of the build that trained it is not kept: {reason}"]
    assert found.seed == OTHER_SEED.seed
    assert {one.split for one in found.images} == {"train", "val", "test"}


def test_renamed_classes_are_refused_by_their_names(ears: Path, rows: Rows, former: DatasetIndex, tmp_path: Path) -> None:
    for row in rows.values():
        row["label"] = row["label"].replace("dark", "dim")
    write(ears / "ears.csv", rows)
    with raises(ConfigError, "E_CONFIG_CLASSES", says=("data set's dim", "network's dark")):
        read(ears / "ears.csv", former, tmp_path, CONFIG)


def test_dicom_files_keep_the_split_of_their_build(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    root = tmp_path / "ears"
    for c, label in enumerate(("normal", "wax")):
        (root / label).mkdir(parents=True)
        for n in range(12):
            (root / label / f"{n:02d}.dcm").write_bytes(crafted_dicom.dicom(crafted_dicom.colours(seed=100 * c + n)))
    former = indexed(root)
    found, said = read(root, former, tmp_path)
    assert (found, said) == (former, ["the split of the build that trained it is kept"])
