"""Nothing is written into what is read or sealed, and no bundle gets a name that it could not be used under."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from support.errors import raises
from weckd_edge.core import bounds
from weckd_edge.core.errors import ConfigError, StoreError
from weckd_edge.pipeline.output_paths import ReadPath, bundle_name, check_place

Run = Callable[..., tuple[int, str, str]]
HEADER = Path(__file__).parents[4] / "devices/firmware/include/weckd_edge.h"


def test_the_bounds_are_those_of_the_c_library() -> None:
    said = {name: int(value) for name, value in re.findall(r"#define WECKD_MAX_(\w+) (\d+)", HEADER.read_text())}
    assert said["LABEL_BYTES"] == bounds.MAX_LABEL_BYTES + 1  # its NUL
    assert said["CLASSES"] == bounds.MAX_CLASSES
    assert said["SIDE"] == bounds.MAX_SIDE
    assert said["LABEL_BYTES"] > bounds.MAX_NAME


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("bundle", "bundle"),
        ("a.b_c-1", "a.b_c-1"),
        ("my bundle", "my-bundle"),
        ("Bündel (neu) 2", "Bundel-neu-2"),
        (".hidden", "hidden"),
        ("x/..", None),
        ("é" * 100, "e" * 100),
    ],
)
def test_a_bundle_is_called_as_its_folder_in_letters_that_update_systems_take(
    folder: str, name: str | None, tmp_path: Path
) -> None:
    found = bundle_name(tmp_path / folder)
    assert found == (bounds.plain_name(tmp_path.name) if name is None else name)
    assert bounds.PLAIN_NAME.fullmatch(found)


@pytest.mark.parametrize("folder", ["耳", "...", "-", "a" * 101, "a" * 300, "/"])
def test_a_folder_that_no_bundle_can_be_called_by_is_refused(folder: str) -> None:
    with raises(ConfigError, "E_CONFIG_OUT_NAME"):
        bundle_name(Path("/tmp") / folder)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "sealed"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"schema_version": 1, "labels": [], "selftest": {}, "files": []}')
    return folder


def test_no_place_inside_a_bundle_is_written_to(sealed: Path) -> None:
    for out in (sealed / "x", sealed / "x" / ".." / "y", sealed):
        with raises(ConfigError, "E_CONFIG_OUT_PLACE"):
            check_place(out)
    check_place(sealed, makes="bundle")  # it is replaced
    check_place(sealed.with_name("beside"))


def test_a_place_and_what_is_read_must_lie_apart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "wax").mkdir(parents=True)
    (tmp_path / "link").symlink_to(data)
    read = [ReadPath("the data set", data)]
    for out in (data / "wax/b", data / "b", tmp_path / "link" / "b", tmp_path / "x" / ".." / "data" / "b"):
        with raises(ConfigError, "E_CONFIG_OUT_PLACE"):
            check_place(out, read)
    for out in (data, tmp_path, Path("/")):
        with raises(ConfigError, "E_CONFIG_OUT_PLACE"):
            check_place(out, read, makes="bundle")
    check_place(tmp_path, read)  # is added to
    check_place(tmp_path / "b", read)
    check_place(data / "split.json", read, makes="file")  # beside the classes' folders nothing is an image
    with raises(ConfigError, "E_CONFIG_OUT_PLACE"):
        check_place(data / "wax/split.json", read, makes="file")


def test_a_bundle_may_lie_beside_a_csv_and_must_not_replace_it(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("path,label\n")
    check_place(tmp_path / "b", [ReadPath("the data set", tmp_path / "d.csv")], makes="bundle")
    with raises(ConfigError, "E_CONFIG_OUT_PLACE"):
        check_place(tmp_path, [ReadPath("the data set", tmp_path / "d.csv")], makes="bundle")


def test_a_place_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError) as caught:
        check_place(tmp_path / "a\0b")
    assert "\n" not in str(caught.value)
    for out in (tmp_path / ("x" * 300), tmp_path / "loop" / "x"):  # told where it is written to; Pythons differ here
        with contextlib.suppress(ConfigError):
            check_place(out)


def command_lines(ears: Path, out: str) -> dict[str, tuple[str | Path, ...]]:
    inside = ears / "dark" / out
    return {
        "build": ("build", "--data", ears, "--target", "cpu", "--out", inside),
        "study": ("study", "--data", ears, "--out", inside),
        "tune": ("tune", "--data", ears, "--out", inside),
        "data split": ("data", "split", ears, "--out", inside),
        "predict": ("predict", "b", ears, "--explain", inside),
    }


@pytest.mark.parametrize("name", command_lines(Path(), ""))
def test_every_command_refuses_to_write_into_its_data_set(name: str, ears: Path, run: Run) -> None:
    before = sorted(ears.rglob("*"))
    code, out, err = run(*command_lines(ears, "new")[name])
    assert (code, out) == (2, "")
    assert "the next run would take what is written there for images" in err
    assert err.count("\n") == 1
    assert sorted(ears.rglob("*")) == before


@pytest.mark.parametrize(
    "args",
    [
        ("build", "--data", "DATA", "--target", "cpu", "--out", "IN"),
        ("study", "--data", "DATA", "--out", "IN"),
        ("tune", "--data", "DATA", "--out", "IN"),
        ("data", "synth", "--out", "IN"),
        ("data", "split", "DATA", "--out", "IN"),
        ("predict", "SEALED", "DATA", "--explain", "IN"),
        ("bench", "SEALED", "--out", "IN"),
        ("package", "tar", "SEALED", "--out", "IN"),
        ("estimate", "--calibrate", "IN"),
        ("compile", "ONNX", "--data", "DATA", "--target", "cpu", "--out", "IN", "--mean", "0.5", "--std", "0.5"),
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_every_command_refuses_to_write_into_a_sealed_bundle(
    args: tuple[str, ...], ears: Path, sealed: Path, run: Run
) -> None:
    before = sorted(sealed.rglob("*"))
    places = {"DATA": ears, "IN": sealed / "new", "SEALED": sealed, "ONNX": ears / "x.onnx"}
    code, _, err = run(*(places.get(arg, arg) for arg in args))
    assert code == 2
    assert "lies in the sealed bundle" in err
    assert sorted(sealed.rglob("*")) == before


@pytest.mark.parametrize(
    ("out", "code", "said"),
    [
        ("x" * 300, 2, "expected at most 100 letters, found 300"),
        ("x" * 128, 2, "expected at most 100 letters, found 128"),
        ("耳", 2, "no update system takes this name"),
        ("/proc/x", 1, "/proc/x.work: cannot be written (No such file or directory); choose another name or place"),
        ("/proc/1/x/y", 1, "cannot be written"),
    ],
)
def test_a_build_says_before_any_work_that_its_bundle_could_not_be_used_or_written(
    out: str, code: int, said: str, ears: Path, run: Run
) -> None:
    pytest.importorskip("torch")
    found, _, err = run("build", "--data", ears, "--target", "cpu", "--out", ears.parent / out, "-q")
    assert found == code
    assert said in err
    assert err.count("\n") == 1


def test_folders_that_the_settings_name_are_kept_apart_too(ears: Path, run: Run) -> None:
    (ears.parent / "pool").mkdir()
    (ears.parent / "c.toml").write_text('[data]\nunlabelled = "pool"\n')
    args = ("build", "--data", ears, "--target", "cpu", "--config", ears.parent / "c.toml", "--out", ears.parent / "pool/b")
    code, _, err = run(*args)
    assert code == 2
    assert "lies in data.unlabelled" in err


def test_a_folder_that_holds_something_else_is_still_no_bundles(ears: Path, toy: ModuleType) -> None:
    from weckd_edge.pipeline.checks import check_output

    (ears.parent / "full").mkdir()
    (ears.parent / "full" / "thesis.txt").touch()
    with raises(StoreError, "E_STORE_OCCUPIED"):
        check_output(ears.parent / "full")


def test_a_link_is_refused_before_the_build_and_not_at_its_end(ears: Path, toy: ModuleType) -> None:
    from weckd_edge.pipeline.checks import check_output

    (ears.parent / "v1").mkdir()
    (ears.parent / "current").symlink_to("v1")
    with raises(StoreError, "E_STORE_OCCUPIED", says="link to v1"):
        check_output(ears.parent / "current")


@pytest.mark.parametrize("name", ["b", "b/kept"])
def test_what_was_read_of_images_is_not_kept_in_the_bundle(name: str, ears: Path, run: Run) -> None:
    pytest.importorskip("torch")
    out = ears.parent / "b"
    code, _, err = run("build", "--data", ears, "--target", "cpu", "--out", out, "--cache", ears.parent / name, "-q")
    assert code == 2
    assert "--cache" in err
    assert "lies in the bundle that is built there" in err
    assert not out.exists()


def test_the_network_that_is_compiled_is_not_replaced_by_its_bundle(run: Run, ears: Path, sealed: Path) -> None:
    pytest.importorskip("torch")
    before = (sealed / "manifest.json").read_bytes()
    code, _, err = run("compile", sealed, "--data", ears, "--target", "cpu", "--out", sealed, "-q")
    assert code == 2
    assert "the model" in err
    assert (sealed / "manifest.json").read_bytes() == before
