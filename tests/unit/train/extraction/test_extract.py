"""Frames of videos as a data set: which are taken, what a build reads of them, and that a further run goes on."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from support.errors import printed, raises
from support.videos import scene, write_video
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.runtime.input_guard import FEATURES
from weckd_edge.train.data.check import check_data
from weckd_edge.train.extraction.choose import Candidate, choose_frames
from weckd_edge.train.extraction.extract import Extraction, extract_videos, find_videos
from weckd_edge.train.extraction.folder import MARKER, TABLE

Run = Callable[..., tuple[int, str, str]]


def textured(seed: int, *, frames: int = 10) -> list[np.ndarray]:
    """Return frames of a view that stays, with fine detail."""
    rng = np.random.default_rng(seed)
    view = scene(96, 128, frames=1, seed=seed)[0].astype(int) + rng.integers(-40, 40, (96, 128, 1))
    return [view.clip(0, 255).astype(np.uint8)] * frames


def blurred(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [np.asarray(Image.fromarray(one).filter(ImageFilter.GaussianBlur(6))) for one in frames]


def extract(named: Path, out: Path, frames: int = 20) -> Extraction:
    return extract_videos(find_videos([named]), out, SilentProgress(), frames=frames)


def rows(out: Path) -> list[dict[str, str]]:
    with (out / TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_views_that_stay_count_once_and_blurred_ones_are_left_out(tmp_path: Path) -> None:
    shown = [*textured(1), *blurred(textured(1)), *textured(2), *blurred(textured(2)), *textured(3)]
    film = write_video(tmp_path / "exam.mp4", shown, key_frame_every=5)
    found = extract(film, tmp_path / "out")
    times = [float(row["time_s"]) for row in rows(tmp_path / "out")]
    assert len(times) == found.exams[0].frames == 3
    assert [int(time / 0.4) for time in times] == [0, 2, 4]
    for row, view in zip(rows(tmp_path / "out"), (1, 2, 3), strict=True):
        pixels = np.asarray(Image.open(tmp_path / "out" / row["path"])).astype(int)
        off = {other: np.abs(pixels - textured(other)[0]).mean() for other in (1, 2, 3)}
        assert min(off, key=lambda other: off[other]) == view


def test_no_more_frames_are_taken_than_were_asked_for(tmp_path: Path) -> None:
    film = write_video(tmp_path / "exam.mp4", [one for seed in range(6) for one in textured(seed)])
    assert extract(film, tmp_path / "all").exams[0].frames >= 5
    assert extract(film, tmp_path / "two", frames=2).exams[0].frames == 2


def test_a_build_reads_the_table_with_each_examination_as_one_group(tmp_path: Path) -> None:
    for label, seeds in (("normal", (1, 2)), ("wax", (3,))):
        (tmp_path / "ears" / label).mkdir(parents=True)
        for seed in seeds:
            write_video(tmp_path / "ears" / label / f"ear {seed}.mp4", [*textured(seed), *textured(seed + 10)])
    found = extract(tmp_path / "ears", tmp_path / "out")
    assert [exam.exam for exam in found.exams] == ["normal-ear-1", "normal-ear-2", "wax-ear-3"]
    listed = rows(tmp_path / "out")
    assert {(row["label"], row["group"], row["exam"]) for row in listed} == {
        ("normal", "normal-ear-1", "normal-ear-1"),
        ("normal", "normal-ear-2", "normal-ear-2"),
        ("wax", "wax-ear-3", "wax-ear-3"),
    }
    report = check_data(tmp_path / "out" / TABLE, DataConfig(), SilentProgress())
    assert report.images == len(listed) == 6
    assert report.class_counts == {"normal": 4, "wax": 2}
    assert report.groups == 3


def test_a_further_run_adds_what_is_new_and_touches_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "ears").mkdir()
    write_video(tmp_path / "ears" / "a.mp4", [*textured(1), *textured(2)])
    extract(tmp_path / "ears", out)
    table = out / TABLE
    first, second = table.read_text().splitlines()[1:]
    table.write_text(
        f"path,label,group,exam,time_s,patient\n{first.replace(',,', ',wax,')},7"
    )  # a label, a column, a line less
    kept = contents(out)
    write_video(tmp_path / "ears" / "b.mp4", [*textured(3), *textured(4)])
    found = extract(tmp_path / "ears", out)
    assert [exam.exam for exam in found.exams] == ["b"]
    assert found.done_before == 1
    text = table.read_text()
    assert text.startswith(kept[TABLE].decode() + "\n")
    assert second.split(",")[0] not in text
    assert [row["exam"] for row in rows(out)] == ["a", "b", "b"]
    now = contents(out)
    assert all(now[name] == data for name, data in kept.items() if name.endswith(".png"))
    again = extract(tmp_path / "ears", out)
    assert (again.exams, again.done_before) == ((), 2)
    assert contents(out) == now


def test_a_run_that_was_interrupted_leaves_whole_examinations_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ears").mkdir()
    for number, name in enumerate("abc"):
        write_video(tmp_path / "ears" / f"{name}.mp4", [*textured(number), *textured(number + 5)])
    whole = tmp_path / "whole"
    extract(tmp_path / "ears", whole)
    real, calls = Image.Image.save, []

    def stop(self: Image.Image, *args: object, **settings: object) -> None:
        calls.append(args)
        if len(calls) == 4:  # in the middle of the second examination
            raise KeyboardInterrupt
        real(self, *args, **settings)  # type: ignore[arg-type]

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            extract(tmp_path / "ears", out)
    assert {row["exam"] for row in rows(out)} == {"a"}
    assert not (out / "b").exists()
    assert extract(tmp_path / "ears", out).done_before == 1
    assert contents(out) == contents(whole)


def test_two_videos_of_one_name_are_two_examinations(tmp_path: Path) -> None:
    films = [tmp_path / place / "exam.mp4" for place in ("left", "right")]
    for number, film in enumerate(films):
        film.parent.mkdir()
        write_video(film, [*textured(number), *textured(number + 5)])
    found = extract_videos(find_videos(films), tmp_path / "out", SilentProgress(), frames=20)
    names = [exam.exam for exam in found.exams]
    assert names[0] == "exam"
    assert names[1].startswith("exam-")
    assert len({row["group"] for row in rows(tmp_path / "out")}) == 2


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    film = write_video(tmp_path / "exam.mp4", textured(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with raises(DataError, "E_DATA_OUT_OCCUPIED", says=str(tmp_path / "out")):
        extract(film, tmp_path / "out")
    assert contents(tmp_path / "out") == {"mine.txt": b"mine"}


def test_a_table_whose_columns_are_gone_is_refused_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract(write_video(tmp_path / "a.mp4", textured(1)), out)
    (out / TABLE).write_text("path;label\n")
    kept = contents(out)
    with raises(DataError, "E_DATA_COLUMN", says=(str(out / TABLE), "exam")):
        extract(write_video(tmp_path / "b.mp4", textured(2)), out)
    assert contents(out) == kept


def test_videos_that_cannot_be_read_are_listed_and_tried_again(run: Run, tmp_path: Path) -> None:
    ears = tmp_path / "ears"
    ears.mkdir()
    (ears / "bad.mp4").write_text("no video")
    code, _, err = run("data", "extract", ears, "--out", tmp_path / "out", "-q")
    assert code == 1
    assert printed(err, "E_DATA_NO_VIDEO", says=str(ears / "bad.mp4"))
    write_video(ears / "good.mp4", [*textured(1), *textured(2)])
    code, out, err = run("data", "extract", ears, "--out", tmp_path / "out", "--json", "-q")
    assert code == 0, err
    found = json.loads(out)
    assert [one["path"] for one in found["bad_files"]] == [str(ears / "bad.mp4")]
    assert [(one["exam"], one["frames"]) for one in found["exams"]] == [("good", 2)]
    write_video(ears / "bad.mp4", [*textured(3), *textured(4)])
    code, out, err = run("data", "extract", ears, "--out", tmp_path / "out")
    assert code == 0, err
    assert "1 videos were extracted before" in err
    assert {row["exam"] for row in rows(tmp_path / "out")} == {"good", "bad"}


def test_a_folder_without_videos_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ears").mkdir()
    Image.fromarray(textured(1)[0]).save(tmp_path / "ears" / "a.png")
    with raises(DataError, "E_DATA_NO_VIDEO", says=str(tmp_path / "ears")):
        find_videos([tmp_path / "ears"])
    with raises(DataError, "E_DATA_SOURCE", says=str(tmp_path / "none.mp4")):
        find_videos([tmp_path / "none.mp4"])


def test_nothing_of_where_the_videos_lay_is_written(tmp_path: Path) -> None:
    secret = tmp_path / "Ward 7 of Saint Somewhere"
    secret.mkdir()
    extract(write_video(secret / "a.mp4", textured(1)), tmp_path / "out")
    written = contents(tmp_path / "out")
    assert set(written) == {MARKER, TABLE, *(name for name in written if name.startswith("a/"))}
    assert not any(b"Somewhere" in data for data in written.values())


def candidate(number: int, sharpness: float, *features: float) -> Candidate:
    return Candidate(
        number=number, time_ns=number, sharpness=sharpness, features=np.resize(np.array(features, float), FEATURES)
    )


def test_the_sharpest_of_frames_that_are_alike_is_taken() -> None:
    views = [candidate(0, 5, 0), candidate(1, 9, 0.1), candidate(2, 8, 100), candidate(3, 7, 100.1)]
    assert [one.number for one in choose_frames(views, 10)] == [1, 2]
    assert choose_frames([], 10) == []
    assert [one.number for one in choose_frames(views[:1], 10)] == [0]
