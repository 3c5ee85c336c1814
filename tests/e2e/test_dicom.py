"""A build on DICOM files: nothing of the people in their headers is in any byte of any output."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support import crafted_dicom as made

pytestmark = pytest.mark.slow

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SYNTAXES = (made.PLAIN, made.RLE, made.JPEG_LS, made.JPEG_2000, made.DEFLATED)
NUMBER = "MRN-77{:02d}-ZULU"


@pytest.fixture(scope="module")
def people(place: Path) -> Path:
    """The drawn images as DICOM files of a person for each ear, with files beside them that cannot be read."""
    pytest.importorskip("pydicom")
    folder = place / "people"
    for n, file in enumerate(sorted((place / "phantom").rglob("*.jpg"))[::2]):
        ear = int(re.findall(r"ear(\d+)", file.name)[0])
        pixels = np.asarray(Image.open(file).convert("RGB"))
        data = made.dicom(pixels, syntax=SYNTAXES[n % len(SYNTAXES)], patient=NUMBER.format(ear))
        target = folder / file.parent.name / f"{n:03d}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    first = sorted(folder.iterdir())[0]
    whole = made.dicom(made.gradient(), WindowCenter=9, WindowWidth=9)
    (first / "report.dcm").write_bytes(made.dicom(None, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"))
    (first / "short.dcm").write_bytes(whole[:-50])
    (first / "frames.dcm").write_bytes(made.dicom(np.stack([made.colours(seed=n) for n in range(3)])))
    (first / "colours.dcm").write_bytes(made.dicom(made.colours(), made.NAME))
    return folder


def secrets() -> Iterator[bytes]:
    """Yield what must not be found: the texts in usual encodings, parts of them, and their plain digests."""
    some = [NUMBER.format(ear) for ear in range(0, 60, 12)]  # for their digests; what all begin with finds any of the texts
    texts = [made.NAME, made.BORN, *made.NAME.split("^"), some[0][:6], *some, made.PATIENT]
    for text in texts:
        yield text.encode()
        yield text.encode("utf-16-le")
        for name in ("md5", "sha1", "sha256", "blake2b"):
            digest = hashlib.new(name, text.encode())
            yield digest.digest()
            yield digest.hexdigest().encode()
    yield b"1.2.826.0.1.3680043.8.498"  # the identifiers of study and image


def assert_tells_nobody(data: bytes, where: object) -> None:
    lower = data.lower()
    for secret in secrets():
        assert secret not in data, (where, secret)
        assert secret.lower() not in lower, (where, secret)


def assert_no_file_tells(folder: Path) -> int:
    count = 0
    for parent, folders, files in os.walk(folder):
        assert_tells_nobody("\n".join([*folders, *files]).encode(), parent)
        for name in files:
            assert_tells_nobody((Path(parent) / name).read_bytes(), name)
            count += 1
    return count


def test_no_output_tells_anything_of_a_person(people: Path, place: Path, tmp_path: Path, process: Run) -> None:
    for module in ("torch", "timm", "onnxruntime", "openvino"):
        pytest.importorskip(module)
    with pytest.raises(AssertionError):  # the search finds what is there
        assert_tells_nobody(next(people.rglob("0*0.dcm")).read_bytes(), "an input")
    by_patient = ("--dicom-group", "PatientID")
    cache = ("--cache", tmp_path / "cache")
    said = [process("-v", "data", "check", people, *by_patient, *cache)]
    index = tmp_path / "index.json"
    said.append(process("data", "split", people, *by_patient, "--skip-bad", "--out", index, *cache))
    out = tmp_path / "bundle"
    arguments = ("--data", people, "--target", "cpu", "--config", place / "tiny.toml", "--out", out, *by_patient)
    said.append(process("-v", "build", *arguments))
    assert said[-1].returncode == 1
    assert "E_DATA_BAD_IMAGES" in said[-1].stderr
    said.append(process("-v", "build", *arguments, "--skip-bad"))
    assert said[-1].returncode == 0, said[-1].stderr
    exam = next(people.rglob("frames.dcm"))
    images = [*sorted(people.rglob("*7.dcm")), *(file for file in sorted(people.rglob("[a-z]*.dcm")) if file != exam)]
    said.append(process("-v", "predict", out, exam, "--out", tmp_path / "frames.jsonl"))
    assert len((tmp_path / "frames.jsonl").read_text().splitlines()) == 3
    said.append(process("-v", "data", "extract", exam, "--out", tmp_path / "extracted"))
    assert said[-1].returncode == 0, said[-1].stderr
    said.append(process("-v", "predict", out, *images, "--json", "--save", tmp_path / "pictures"))
    assert said[-1].returncode == 0, said[-1].stderr
    said.append(process("data", "audit", people, *by_patient))

    for one in said:
        assert_tells_nobody((one.stdout + one.stderr).encode(), one.args)
    assert_no_file_tells(tmp_path)
    assert sum(path.is_file() for path in tmp_path.rglob("*")) > 30

    groups = {record["path"]: record["group"] for record in json.loads(index.read_text())["images"]}
    assert len(groups) > 75
    names = set(groups.values())
    assert names <= {f"PatientID {n}" for n in range(1, 61)}
    assert len(names) > 20
    recorded = json.loads((out / "evidence/dataset_index.json").read_text())
    assert {record["group"] for record in recorded["images"]} == names


def test_images_of_a_person_are_never_in_two_splits(people: Path, tmp_path: Path, process: Run) -> None:
    pydicom = pytest.importorskip("pydicom")
    index = tmp_path / "index.json"
    done = process("data", "split", people, "--dicom-group", "PatientID", "--skip-bad", "--out", index)
    assert done.returncode == 0, done.stderr
    splits: dict[str, set[str]] = {}
    for record in json.loads(index.read_text())["images"]:
        person = pydicom.dcmread(people / record["path"], specific_tags=["PatientID"]).PatientID
        splits.setdefault(person, set()).add(record["split"])
    assert len(splits) > 20
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "val", "test"}
