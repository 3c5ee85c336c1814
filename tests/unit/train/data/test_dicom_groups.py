"""Groups by an attribute of DICOM headers: numbered, told apart, and never named by their value."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import crafted_dicom as made
from support.errors import raises
from weckd_edge.config import DataConfig, load_config
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.serialization import to_json
from weckd_edge.train.data.check import check_data
from weckd_edge.train.data.index import build_index
from weckd_edge.train.data.reading import read_data

pytest.importorskip("pydicom")

BY_PATIENT = DataConfig(dicom_group="PatientID", near_duplicate_distance=None, labelled_fraction=0.3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of twelve images, three of each person."""
    for c, label in enumerate(("normal", "wax")):
        (tmp_path / "ears" / label).mkdir(parents=True)
        for n in range(12):
            data = made.dicom(made.colours(seed=100 * c + n), patient=f"MRN-{c}{n % 4}")
            (tmp_path / "ears" / label / f"{n:02d}.dcm").write_bytes(data)
    return tmp_path / "ears"


def groups_of(path: Path, config: DataConfig = BY_PATIENT) -> dict[str, str | None]:
    return {image.listed.path: image.listed.group for image in read_data(path, SilentProgress(), config).images}


def test_a_group_is_a_number_in_the_order_of_paths(folder: Path) -> None:
    found = groups_of(folder)
    assert [found[f"normal/{n:02d}.dcm"] for n in range(6)] == [f"PatientID {n}" for n in (1, 2, 3, 4, 1, 2)]
    assert [found[f"wax/{n:02d}.dcm"] for n in range(4)] == [f"PatientID {n}" for n in (5, 6, 7, 8)]
    assert set(groups_of(folder, DataConfig()).values()) == {None}
    assert check_data(folder, BY_PATIENT, SilentProgress()).groups == 8


def test_no_split_separates_a_person_and_the_index_is_the_same_each_time(folder: Path) -> None:
    made_of = [
        build_index(folder, BY_PATIENT, labelled_subsets=1, seed=5, skip_bad=False, progress=SilentProgress())
        for _ in range(2)
    ]
    assert to_json(made_of[0]) == to_json(made_of[1])
    splits: dict[str, set[str]] = {}
    for record in made_of[0].images:
        splits.setdefault(record.group, set()).add(record.split)
    assert len(splits) == 8
    assert all(len(found) == 1 for found in splits.values())
    assert made_of[0].named_groups == 24


def test_a_digest_of_a_file_does_not_depend_on_its_header(folder: Path) -> None:
    """Else names and dates could be tried until it fits."""

    def digests() -> list[str]:
        return [image.sha256 for image in read_data(folder, SilentProgress(), DataConfig()).images]

    before = digests()
    for file in folder.rglob("*.dcm"):
        file.write_bytes(file.read_bytes().replace(made.BORN.encode(), b"19500101"))
    assert digests() == before
    for file in folder.rglob("*.dcm"):
        file.write_bytes(file.read_bytes()[:-1] + b"\7")
    assert not set(digests()) & set(before)


def test_the_name_that_a_table_gives_comes_first_and_files_without_the_attribute_are_counted(folder: Path) -> None:
    plain = made.dataset(made.colours(seed=900))
    del plain.PatientID
    (folder / "wax" / "zz.dcm").write_bytes(made.saved(plain))
    lines = [f"{file.relative_to(folder).as_posix()},{file.parent.name}," for file in sorted(folder.rglob("*.dcm"))]
    lines[0] += "mine"
    (folder / "groups.csv").write_text("\n".join(["path,label,group", *lines]))
    found = groups_of(folder / "groups.csv")
    assert found["normal/00.dcm"] == "mine"
    assert found["normal/04.dcm"] == "mine"
    assert found["normal/01.dcm"] == "PatientID 1"
    assert found["wax/zz.dcm"] is None
    notes = {note.code: note.text for note in read_data(folder / "groups.csv", SilentProgress(), BY_PATIENT).notes}
    assert "24 images" in notes["I_DICOM_GROUPS"]
    assert "1 image has no PatientID" in notes["W_NO_DICOM_GROUP"]


def written(folder: Path, columns: str, cells: dict[str, str]) -> Path:
    empty = "," * columns.count(",")
    files = [file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*.dcm"))]
    lines = [f"{file},{file.partition('/')[0]},{cells.get(file, empty)}" for file in files]
    (folder / "groups.csv").write_text("\n".join([f"path,label,{columns}", *lines]))
    return folder / "groups.csv"


def test_examinations_of_one_patient_are_one_group(folder: Path) -> None:
    """Images 00, 04 and 08 are of one patient; an examination that two patients share ties these as well."""
    exams = {"normal/00.dcm": "e1", "normal/04.dcm": "e2", "normal/08.dcm": "e2", "normal/01.dcm": "e3"}
    shared = {"normal/02.dcm": "e4", "normal/03.dcm": "e4"}
    table = written(folder, "exam", exams | shared)
    images = read_data(table, SilentProgress(), BY_PATIENT).images
    found = {image.listed.path: (image.listed.group, image.listed.exam) for image in images}
    assert [found[f"normal/{n:02d}.dcm"] for n in (0, 4, 8)] == [("PatientID 1", f"e{n}") for n in (1, 2, 2)]
    assert found["normal/01.dcm"] == ("PatientID 2", "e3")
    assert {found[f"normal/{n:02d}.dcm"][0] for n in (2, 3, 6, 7, 10, 11)} == {"PatientID 3"}
    assert check_data(table, BY_PATIENT, SilentProgress()).groups == 7


def test_groups_of_a_table_that_share_a_patient_are_joined_and_counted(folder: Path) -> None:
    cells = {"normal/00.dcm": "p1,1", "normal/04.dcm": "p2,1", "normal/01.dcm": "p2,2", "normal/02.dcm": "PatientID 1,1"}
    data = read_data(written(folder, "group,exam", cells), SilentProgress(), BY_PATIENT)
    found = {image.listed.path: image.listed.group for image in data.images}
    assert {found[f"normal/{n:02d}.dcm"] for n in (0, 1, 4, 5, 8, 9)} == {"p1"}
    assert {found[f"normal/{n:02d}.dcm"] for n in (2, 6, 10)} == {"PatientID 1"}
    assert {found[f"normal/{n:02d}.dcm"] for n in (3, 7, 11)} == {"PatientID 2"}
    note = next(note.text for note in data.notes if note.code == "I_DICOM_GROUPS")
    assert "24 images makes 7 groups" in note
    assert "joins 3 groups of the CSV to 2" in note


def test_an_attribute_that_nothing_has_or_that_does_not_exist_is_refused(folder: Path) -> None:
    with raises(ConfigError, "E_CONFIG_OPTION_UNUSED", says="AccessionNumber"):
        groups_of(folder, DataConfig(dicom_group="AccessionNumber"))
    with raises(ConfigError, "E_CONFIG_CHOICE", says="PatientID"):
        groups_of(folder, DataConfig(dicom_group="PatientId"))
    with raises(ConfigError, "E_CONFIG_VALUE", says="dicom_group"):
        DataConfig(dicom_group="(0010,0020)")
    assert load_config(None, {"data.dicom_group": "StudyInstanceUID"}).data.dicom_group == "StudyInstanceUID"
    assert len(set(groups_of(folder, DataConfig(dicom_group="StudyInstanceUID")).values())) > 2
