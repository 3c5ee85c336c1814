"""Examinations in ``weckd-edge predict``: what is one, what is decided, and what is said where it cannot be."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support import crafted_dicom as made
from support.errors import printed, raises
from support.programs.rtsp_server import RtspServer
from support.videos import CODEC, av, scene, write_sound, write_video
from weckd_edge.cli.parsing.exam_sources import find_sources
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.runtime import exam_run
from weckd_edge.devices.video import pyav_source

Run = Callable[..., tuple[int, str, str]]

BACKEND = ("--backend", "onnxruntime")
LABELS = {"effusion", "normal", "wax"}


@pytest.fixture
def bundle(toy: ModuleType, tmp_path: Path) -> Path:
    folder: Path = toy.write_bundle(tmp_path / "bundle").folder
    return folder


def write_frames(folder: Path, count: int = 3, *, size: tuple[int, int] = (48, 64)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(scene(*size, frames=count)):
        Image.fromarray(pixels).save(folder / f"frame{number}.png")
    return folder


def examined(run: Run, *args: str | Path) -> list[dict[str, Any]]:
    code, out, err = run("predict", *args, *BACKEND, "--json", "-q")
    assert code == 0, err
    found: list[dict[str, Any]] = json.loads(out)["examinations"]
    return found


def test_a_video_ends_in_one_decision_and_names_what_was_made_of_each_frame(run: Run, bundle: Path, tmp_path: Path) -> None:
    film = write_video(tmp_path / "exam.mp4", scene(48, 64, frames=8))
    (exam,) = examined(run, bundle, film)
    assert exam["exam"] == str(film)
    decision = exam["decision"]
    assert decision["label"] in LABELS
    assert decision["decision"] in {*LABELS, "unable to analyze"}
    assert decision["seen"] == len(exam["frames"]) == 8
    assert [frame["number"] for frame in exam["frames"]] == list(range(8))
    assert [frame["found"]["time_ns"] for frame in exam["frames"]] == [40_000_000 * number for number in range(8)]
    assert decision["counted"] == sum(frame["found"]["use"] == "counted" for frame in exam["frames"])
    assert exam["length_ns"] == 280_000_000
    assert exam["lost"] == {"dropped": 0, "damaged": 0, "end": None}


def test_the_file_has_one_row_a_frame_of_every_examination(run: Run, bundle: Path, tmp_path: Path) -> None:
    films = [write_video(tmp_path / f"{name}.mp4", scene(48, 64, frames=4, seed=seed)) for seed, name in enumerate("ab")]
    code, out, err = run("predict", bundle, *films, *BACKEND, "--out", tmp_path / "frames.csv")
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO((tmp_path / "frames.csv").read_text())))
    assert [row["examination"] for row in rows] == [str(films[0])] * 4 + [str(films[1])] * 4
    assert [row["time_s"] for row in rows] == ["0.000", "0.040", "0.080", "0.120"] * 2
    for row in rows:
        if row["use"] == "counted":
            assert sum(float(row[f"probability_{label}"]) for label in LABELS) == pytest.approx(1, abs=1e-3)
    assert all(str(film) in out for film in films)
    assert f"written: {tmp_path / 'frames.csv'}" in err
    assert f"examination {films[0]}: 4 steps" in err
    code, out, err = run("predict", bundle, films[0], *BACKEND, "--out", tmp_path / "frames.jsonl", "--json", "-q")
    assert code == 0, err
    assert "frames" not in json.loads(out)["examinations"][0]
    assert len((tmp_path / "frames.jsonl").read_text().splitlines()) == 4


def test_a_folder_a_pattern_and_loose_images_are_examinations_where_they_are_called_so(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    place = write_frames(tmp_path / "ears" / "left")
    write_frames(tmp_path / "ears" / "right", 2)
    film = write_video(tmp_path / "ears" / "exam.mp4", scene(48, 64, frames=4))
    (tmp_path / "ears" / "notes.txt").write_text("of the nurse")
    exams = examined(run, bundle, tmp_path / "ears", "--exam")
    assert {exam["exam"]: exam["decision"]["seen"] for exam in exams} == {
        str(place): 3,
        str(place.parent / "right"): 2,
        str(film): 4,
    }
    pattern = f"{place}/*.png"
    (exam,) = examined(run, bundle, pattern, "--exam")
    assert (exam["exam"], exam["decision"]["seen"]) == (pattern, 3)
    assert [frame["file"] for frame in exam["frames"]] == [f"{place}/frame{number}.png" for number in range(3)]
    (exam,) = examined(run, bundle, place / "frame0.png", place / "frame2.png", "--exam")
    assert (exam["exam"], exam["decision"]["seen"]) == (str(place), 2)


def test_what_is_an_image_stays_an_image(run: Run, bundle: Path, tmp_path: Path) -> None:
    place = write_frames(tmp_path / "ears")
    write_video(tmp_path / "ears" / "exam.mp4", scene(48, 64, frames=4))
    code, out, err = run("predict", bundle, place, *BACKEND, "--json", "-q")
    assert code == 0, err
    found = json.loads(out)
    assert len(found["images"]) == 3
    assert [one["file"] for one in found["skipped"]] == [str(place / "exam.mp4")]
    Image.fromarray(scene(48, 64, frames=1)[0]).save(tmp_path / "picture.mp4", "PNG")
    assert find_sources([str(tmp_path / "picture.mp4")], camera=None, together=False).exams == []


def test_images_and_examinations_in_one_run_are_refused(run: Run, bundle: Path, tmp_path: Path) -> None:
    film = write_video(tmp_path / "exam.mp4", scene(48, 64, frames=2))
    place = write_frames(tmp_path / "ears", 1)
    code, _, err = run("predict", bundle, film, place / "frame0.png", *BACKEND)
    assert code == 2
    assert printed(err, "E_CONFIG_CONFLICT", says=(str(film), str(place / "frame0.png"), "--exam"))


@pytest.mark.parametrize("option", [("--save", "pictures"), ("--explain", "maps"), ("--ignore-guard",)])
def test_options_for_images_are_refused_for_an_examination(
    run: Run, bundle: Path, tmp_path: Path, option: tuple[str, ...]
) -> None:
    film = write_video(tmp_path / "exam.mp4", scene(48, 64, frames=2))
    given = [option[0], *(tmp_path / value for value in option[1:])]
    code, _, err = run("predict", bundle, film, *given, *BACKEND)
    assert code == 2
    assert printed(err, "E_CONFIG_OPTION_UNUSED", says=(option[0], str(film)))


def test_nothing_to_predict_is_a_wrong_request(run: Run, bundle: Path) -> None:
    code, _, err = run("predict", bundle)
    assert code == 2
    assert "--camera" in err


def test_an_address_that_is_none_of_a_stream_is_refused() -> None:
    with raises(ConfigError, "E_CONFIG_VALUE", says=("http://camera/ear", "rtsp://")):
        find_sources(["http://nurse:secret@camera/ear"], camera=None, together=False)


@pytest.mark.parametrize(
    ("name", "code"),
    [("text.mp4", "E_DATA_VIDEO"), ("sound.mp4", "E_DATA_VIDEO"), ("none.mp4", "E_FILE_UNREADABLE")],
)
def test_a_file_that_is_no_video_is_one_clear_line(run: Run, bundle: Path, tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    write_sound(tmp_path / "sound.mp4")
    status, out, err = run("predict", bundle, tmp_path / name, *BACKEND, "-q")
    assert status == 1
    assert printed(err, code, says=str(tmp_path / name))
    assert "unable to analyze" in out


def test_without_pyav_a_video_names_the_extra_to_install(
    run: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_video(tmp_path / "exam.mp4", scene(48, 64, frames=2))
    monkeypatch.setitem(sys.modules, "av", None)
    code, _, err = run("predict", bundle, film, *BACKEND, "-q")
    assert code == 1
    assert printed(err, "E_MISSING_LIBRARY", says="'weckd-edge[video]'")
    (exam,) = examined(run, bundle, write_frames(tmp_path / "ears"), "--exam")
    assert exam["decision"]["seen"] == 3


def test_mixed_sizes_in_a_folder_are_one_clear_line(run: Run, bundle: Path, tmp_path: Path) -> None:
    place = write_frames(tmp_path / "ears", 1, size=(50, 64))
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(place / "frame7.png")
    code, _, err = run("predict", bundle, place, "--exam", *BACKEND, "-q")
    assert code == 1
    assert printed(err, "E_DATA_FRAME_SIZE", says=("64 x 48", "64 x 50"))


def test_one_examination_that_cannot_be_read_does_not_end_the_others(run: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no video")
    film = write_video(tmp_path / "exam.mp4", scene(48, 64, frames=4))
    bad, good = examined(run, bundle, tmp_path / "bad.mp4", film)
    assert bad["decision"] is None
    assert bad["error"]["code"] == "E_DATA_VIDEO"
    assert good["decision"]["seen"] == 4
    code, _, err = run("predict", bundle, tmp_path / "bad.mp4", tmp_path / "none.mp4", *BACKEND, "-q")
    assert code == 1
    assert printed(err, "E_DATA_NO_PREDICTION", says=str(tmp_path / "bad.mp4"))


def test_a_video_that_was_cut_short_is_decided_and_what_is_missing_is_reported(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    film = write_video(tmp_path / "exam.mkv", scene(96, 128, frames=40))
    data = film.read_bytes()
    film.write_bytes(data[: len(data) * 6 // 10])
    code, out, err = run("predict", bundle, film, *BACKEND, "-q")
    assert code == 0
    assert "it ends after" in err
    assert "frames are damaged" in err
    assert str(film) in out


@pytest.fixture
def camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the device of a camera that shows a video, and is then unplugged."""
    film = write_video(tmp_path / "film.mkv", scene(48, 64, frames=12))
    device = tmp_path / "video0"
    device.touch()
    real = av.open

    def opened(address: str, **settings: Any) -> Any:
        assert (address, settings["format"]) == (str(device), "video4linux2")
        return real(str(film))

    monkeypatch.setattr(av, "open", opened)
    return device


def test_a_camera_that_is_unplugged_ends_with_a_decision(run: Run, bundle: Path, camera: Path) -> None:
    (exam,) = examined(run, bundle, "--camera", camera)
    assert exam["exam"] == str(camera)
    assert exam["decision"]["seen"] > 0
    assert exam["decision"]["seen"] + exam["lost"]["dropped"] == 12
    assert exam["lost"]["end"] == "it broke off"
    assert exam["decision"]["dropped"] == exam["lost"]["dropped"]


def test_an_examination_of_a_camera_ends_when_its_time_is_over(
    run: Run, bundle: Path, camera: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100_000, 2))
    monkeypatch.setattr(exam_run, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    (exam,) = examined(run, bundle, "--camera", camera, "--seconds", "3")
    assert exam["decision"]["seen"] == 2


def test_ctrl_c_ends_a_live_examination_with_its_decision(
    run: Run, bundle: Path, camera: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = exam_run.SeenFrame, []

    def interrupted(**values: Any) -> Any:
        seen.append(values["number"])
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(**values)

    monkeypatch.setattr(exam_run, "SeenFrame", interrupted)
    (exam,) = examined(run, bundle, "--camera", camera)
    assert exam["lost"]["end"] == exam_run.STOPPED
    assert exam["decision"]["seen"] == 3


def test_an_unknown_camera_is_one_clear_line(run: Run, bundle: Path) -> None:
    code, _, err = run("predict", bundle, "--camera", "/nowhere/video0", *BACKEND)
    assert code == 1
    assert printed(err, "E_DEVICE_CAMERA", says="/nowhere/video0")


@pytest.mark.skipif(CODEC != "libx264", reason="the network camera here sends H.264")
@pytest.mark.parametrize(("then", "end"), [("close", "it broke off"), ("hang", "nothing came within 0.5 s")])
def test_a_stream_that_dies_ends_with_a_decision(
    run: Run, bundle: Path, monkeypatch: pytest.MonkeyPatch, then: str, end: str
) -> None:
    monkeypatch.setattr(pyav_source, "READ_LIMIT_S", 0.5)
    monkeypatch.setattr("weckd_edge.devices.video.pyav_backend.READ_LIMIT_S", 0.5)
    with RtspServer(scene(48, 64, frames=40), then=then) as server:
        (exam,) = examined(run, bundle, server.address)
    assert exam["exam"] == server.address
    assert exam["decision"]["seen"] > 0
    assert exam["lost"]["end"] == end


def test_dicom_of_several_frames_is_an_examination_and_tells_nobody(run: Run, bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    frames = np.stack(list(scene(48, 64, frames=5)))
    file = tmp_path / "scans" / "one.dcm"
    file.parent.mkdir()
    file.write_bytes(made.dicom(frames, syntax=made.RLE, FrameTime="20"))
    (exam,) = examined(run, bundle, file)
    assert exam["exam"] == str(file)
    assert [frame["found"]["time_ns"] for frame in exam["frames"]] == [20_000_000 * number for number in range(5)]
    assert exam["decision"]["seen"] == 5
    # In a folder of frames, it is an examination of its own.
    for number, pixels in enumerate(frames[:3]):
        (file.parent / f"frame{number}.dcm").write_bytes(made.dicom(pixels))
    exams = {Path(one["exam"]).name: len(one["frames"]) for one in examined(run, bundle, file.parent, "--exam")}
    assert exams == {"scans": 3, "one.dcm": 5}
    code, out, err = run("data", "extract", file.parent, "--out", tmp_path / "extracted", "--json")
    assert code == 0, err
    assert json.loads(out)["exams"][0]["exam"] == "one"
    assert len(list((tmp_path / "extracted/one").glob("*.png"))) >= 1
    code, _, more = run("-v", "predict", bundle, file, *BACKEND, "--out", tmp_path / "rows.csv")
    assert code == 0, more
    written = [path for path in (tmp_path / "rows.csv", *(tmp_path / "extracted").rglob("*")) if path.is_file()]
    assert len(written) > 3
    for data in (out.encode(), err.encode(), more.encode(), *(path.read_bytes() for path in written)):
        for secret in (made.NAME, made.PATIENT, made.BORN, hashlib.sha256(file.read_bytes()).hexdigest()):
            assert secret.encode() not in data
