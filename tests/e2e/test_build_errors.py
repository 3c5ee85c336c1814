"""Wrong requests to ``build``: one clear line, the right exit code, and nothing half-written."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.errors import printed
from support.training.toy_chain import TOY_LINKS_TOML

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

Run = Callable[..., tuple[int, str, str]]
LABELS = ("effusion", "normal", "wax")
NO_LIMITS = "max_accuracy_drop = 1.0\nbetter_than_chance = false\n"
TINY = (
    TOY_LINKS_TOML
    + """
[train]
epochs = 1
steps_per_epoch = 1
batch = 4
"""
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three classes of eight pictures that do not resemble each other."""
    root = tmp_path / "ears"
    for c, label in enumerate(LABELS):
        (root / label).mkdir(parents=True)
        for i in range(8):
            cells = np.random.default_rng(100 * c + i).integers(0, 255, (6, 6, 3), np.uint8)
            Image.fromarray(cells).resize((40, 36), Image.Resampling.BICUBIC).save(root / label / f"{i}.png")
    return root


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def refused(run: Run, tmp_path: Path, *args: str | Path, code: int) -> str:
    """Run a build that must be refused, and return what it said."""
    out = tmp_path / "out"
    got, stdout, err = run("build", "--out", out, "--quiet", *args)
    assert got == code, err
    assert stdout == ""
    assert len(err.strip().splitlines()) == 1, err
    assert not out.exists()
    work = tmp_path / "out.work"
    assert not work.exists() or not any(p for p in work.rglob("*") if ".tmp" in p.name), "something half-written is left"
    return err


@pytest.mark.parametrize(
    ("args", "error", "says"),
    [
        (("--target", "gpu"), "E_CONFIG_CHOICE", "'gpu'"),
        (("--target", "jetsom"), "E_CONFIG_CHOICE", "'jetson'"),
        (("--target", "cpu", "--device", "raspberry-pi5"), "E_CONFIG_CHOICE", "'raspberry-pi-5'"),
        (("--target", "jetson", "--device", "raspberry-pi-5"), "E_CONFIG_CONFLICT", ("--target cpu", "--target jetson")),
        (("--target", "cpu", "--config", "missing.toml"), "E_FILE_MISSING", "missing.toml"),
        (("--target", "cpu", "--links", "resnet10t@big"), "E_CONFIG_VALUE", "'resnet10t@big'"),
        (("--target", "cpu", "--links", "resnet10t"), "E_CONFIG_RANGE", ()),
        (("--target", "cpu", "--sign", "missing.pem"), "E_CONFIG_KEY", "missing.pem"),
    ],
)
def test_wrong_requests_exit_2_with_one_line(
    run: Run, tmp_path: Path, data: Path, args: tuple[str, ...], error: str, says: tuple[str, ...] | str
) -> None:
    assert printed(refused(run, tmp_path, "--data", data, *args, code=2), error, says=says)
    assert not (tmp_path / "out.work").exists()


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("[train]\nepoch = 3\n", "E_RECORD_KEY_UNKNOWN", "'epochs'"),
        ("[trian]\nepochs = 3\n", "E_RECORD_KEY_UNKNOWN", "'train'"),
        ("[train]\nepochs = 'many'\n", "E_RECORD_TYPE", ("wrong.toml.train.epochs", "'many'")),
        ("[train\n", "E_TOML", "wrong.toml"),
        ("[data]\nlabelled_fraction = 0.5\n", "E_CONFIG_CONFLICT", "0.333"),
        ("[distill]\ntemperature_start = 1.0\ntemperature_end = 4.0\n", "E_CONFIG_RANGE", "temperature_end = 4.0"),
        ('[[link]]\nmodel = "a"\nweights = "w"\npretrained = true\n', "E_CONFIG_CONFLICT", ("weights", "pretrained")),
        ("[gates]\nmin_accuracy = 90.0\n", "E_CONFIG_RANGE", "min_accuracy = 90.0"),
        ("[select]\nmeasurements = 'absent.jsonl'\n", "E_CONFIG_MEASUREMENTS", "absent.jsonl"),
    ],
)
def test_wrong_settings_exit_2_and_name_the_key(
    run: Run, tmp_path: Path, data: Path, text: str, error: str, says: tuple[str, ...] | str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    err = refused(run, tmp_path, "--data", data, "--target", "cpu", "--config", path, code=2)
    assert printed(err, error, says=says)


@pytest.mark.parametrize(
    ("links", "error", "says"),
    [
        ("resnet10tt,resnet10t", "E_MODEL_NAME", "'resnet10t'"),
        ("mobilenetv2_035@64,mobilenetv2_050@64", "E_MODEL_CHAIN_ORDER", "link 1"),
        ("hf_hub:nobody/nothing,resnet10t", "E_MODEL_FETCH", "hf_hub:nobody/nothing"),
        ("resnet10t@32=missing.safetensors,resnet10t@32", "E_MODEL_FILE_MISSING", "missing.safetensors"),
    ],
)
def test_links_that_cannot_be_made_are_refused_before_any_training(
    run: Run, tmp_path: Path, data: Path, links: str, error: str, says: str
) -> None:
    err = refused(run, tmp_path, "--data", data, "--target", "cpu", "--links", links, code=1)
    assert printed(err, error, says=says)
    assert not any((tmp_path / "out.work").glob("link-*"))


def test_weights_of_the_wrong_shape_name_the_tensor(run: Run, tmp_path: Path, data: Path, config: Path) -> None:
    import timm

    weights = tmp_path / "other.pt"
    torch.save(timm.create_model("resnet10t", channels=[24, 16, 16, 16], stem_width=8).state_dict(), weights)
    config.write_text(TINY.replace("input_size = 32", 'input_size = 32\nweights = "other.pt"', 1))
    err = refused(run, tmp_path, "--data", data, "--target", "cpu", "--config", config, code=1)
    assert printed(err, "E_MODEL_OTHER_WEIGHTS", says=("[24", "[16"))


def spoil_empty(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()


def spoil_one_class(data: Path) -> None:
    for label in LABELS[1:]:
        shutil.rmtree(data / label)


def spoil_few(data: Path) -> None:
    for i in range(3, 8):
        (data / "wax" / f"{i}.png").unlink()


def spoil_files(data: Path) -> None:
    whole = (data / "wax/0.png").read_bytes()
    (data / "wax/cut.png").write_bytes(whole[: len(whole) // 2])
    (data / "wax/empty.png").write_bytes(b"")
    (data / "normal/notes").write_bytes(b"hello")


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (shutil.rmtree, "E_DATA_SOURCE", ()),
        (spoil_empty, "E_DATA_LAYOUT", ()),
        (spoil_one_class, "E_DATA_FEW_CLASSES", ()),
        (spoil_few, "E_DATA_SMALL_CLASS", ("'wax'", "3 groups", "4")),
        (spoil_files, "E_DATA_BAD_IMAGES", ("wax/cut.png", "wax/empty.png", "normal/notes", "--skip-bad")),
    ],
)
def test_data_that_cannot_be_used_exit_1_and_say_why(
    run: Run, tmp_path: Path, data: Path, config: Path, spoil: Callable[[Path], None], error: str, says: tuple[str, ...]
) -> None:
    spoil(data)
    err = refused(run, tmp_path, "--data", data, "--target", "cpu", "--config", config, code=1)
    assert printed(err, error, says=says)


def test_an_output_folder_that_holds_something_else_is_left_alone(
    run: Run, tmp_path: Path, data: Path, config: Path
) -> None:
    out = tmp_path / "holiday"
    out.mkdir()
    (out / "photo.jpg").write_bytes(b"mine")
    code, _, err = run("build", "--data", data, "--target", "cpu", "--config", config, "--out", out, "--quiet")
    assert code == 1
    assert printed(err, "E_STORE_OCCUPIED", says="holiday")
    assert [path.name for path in out.iterdir()] == ["photo.jpg"]
    assert not (tmp_path / "holiday.work").exists()


def test_skip_bad_goes_on_and_records_what_was_left_out(run: Run, tmp_path: Path, data: Path, config: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    spoil_files(data)
    # The pictures are noise and the network hardly trained: only what was recorded matters here.
    config.write_text(f"{TINY}\n[quantize]\nimages = 8\n[bench]\nqueries = 64\nwarmup = 0\n[gates]\n{NO_LIMITS}")
    out = tmp_path / "out"
    code, _, err = run(
        *("build", "--data", data, "--target", "cpu", "--config", config, "--out", out, "--quiet", "--skip-bad")
    )
    assert code in (0, 3), err
    recorded = (out / "evidence/dataset_index.json").read_text()
    assert all(name in recorded for name in ("wax/cut.png", "wax/empty.png", "normal/notes"))
    buffer = io.BytesIO((out / "evidence/report.html").read_bytes())
    assert b"wax/empty.png" in buffer.getvalue()
