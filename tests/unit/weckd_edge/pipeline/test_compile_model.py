"""``weckd-edge compile``: from a network that a user brings to a bundle, and one line for every wrong request."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support.errors import printed, raises
from support.goldens import FOLDER, stable_json

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from safetensors.torch import save_file  # noqa: E402 - behind the skips

from weckd_edge.artifacts import DatasetIndex  # noqa: E402 - likewise
from weckd_edge.compile.importing.hints import InputHints  # noqa: E402 - likewise
from weckd_edge.config import LinkConfig  # noqa: E402 - likewise
from weckd_edge.core.errors import ConfigError  # noqa: E402 - likewise
from weckd_edge.core.store import digest_of  # noqa: E402 - likewise
from weckd_edge.devices.images.decoding import decode  # noqa: E402 - likewise
from weckd_edge.devices.images.pixels import pixels_sha256  # noqa: E402 - likewise
from weckd_edge.pipeline import checks  # noqa: E402 - likewise
from weckd_edge.pipeline.network_sources.checkpoint_source import open_checkpoint  # noqa: E402 - likewise
from weckd_edge.pipeline.network_sources.link_source import open_link  # noqa: E402 - likewise

Run = Callable[..., tuple[int, str, str]]
QUICK = """
[[link]]
model = "test_resnet"
[[link]]
model = "test_resnet"
[quantize]
precision = "int8"
method = "mse"
images = 8
[bench]
queries = 64
warmup = 0
[selftest]
frames = 2
[report]
sample_frames = 2
"""


class Brightness(torch.nn.Module):  # type: ignore[name-defined, misc]  # torch is imported behind a skip
    """Tells light pictures from dark ones; its first class is ``dark``, or ``light`` where it is turned around."""

    def __init__(self, networks: ModuleType, *, turned: bool = False) -> None:
        super().__init__()
        self.conv = networks.conv(3, 4, 3, act=torch.nn.ReLU)
        self.pool = torch.nn.AdaptiveAvgPool2d(1)
        self.head = torch.nn.Linear(4, 2)
        with torch.no_grad():
            self.conv[0].weight.fill_(1 / 27)
            self.head.weight.copy_(torch.tensor([[-5.0] * 4, [5.0] * 4]) * (-1 if turned else 1))
            self.head.bias.copy_(torch.tensor([10.0, -10.0]) * (-1 if turned else 1))

    def forward(self, x: Any) -> Any:
        return self.head(self.pool(self.conv(x)).flatten(1))


@pytest.fixture
def brought(networks: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """Write the toy classifier as an ONNX file."""

    def write(size: tuple[int, int] = (16, 16), metadata: dict[str, str] | None = None, **options: Any) -> Path:
        path = tmp_path / "toy.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Brightness(networks, **options).eval(),
                (torch.zeros(1, 3, *size),),
                str(path),
                dynamo=False,
                opset_version=13,
            )
        if metadata:
            model = onnx.load(path)
            onnx.helper.set_model_props(model, metadata)
            onnx.save(model, path)
        return path

    return write


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "quick.toml"
    path.write_text(QUICK)
    return path


PLAIN = ("--mean", "0", "--std", "1")


def printed_by_compile(run: Run, out: Path, *args: str | Path, target: str = "cpu") -> tuple[str, str]:
    """Return what it printed to stdout and to stderr."""
    code, stdout, err = run("compile", *args, "--target", target, "--out", out, "--json", "--quiet")
    assert code in (0, 3), err  # a toy may be noisy; what it predicts is checked
    return stdout, err


def compiled(run: Run, out: Path, *args: str | Path, target: str = "cpu") -> Any:
    return json.loads(printed_by_compile(run, out, *args, target=target)[0])


def compiled_with_messages(run: Run, out: Path, *args: str | Path, target: str = "cpu") -> tuple[Any, str]:
    stdout, err = printed_by_compile(run, out, *args, target=target)
    return json.loads(stdout), err


@pytest.mark.parametrize("target", ["cpu", "jetson"])
def test_an_onnx_file_becomes_a_bundle_that_verifies_itself(
    run: Run,
    tmp_path: Path,
    ears: Path,
    config: Path,
    brought: Callable[..., Path],
    golden: Callable[[Path, str], None],
    target: str,
) -> None:
    pytest.importorskip("openvino" if target == "cpu" else "tensorrt_rtx")
    out = tmp_path / "out"
    version = ("--bundle-version", "3")
    stdout, _ = printed_by_compile(run, out, brought(), "--data", ears, "--config", config, *version, *PLAIN, target=target)
    golden(FOLDER / f"json/compile-{target}.json", stable_json(stdout, tmp_path, "words"))
    found = json.loads(stdout)
    assert found["accuracy"]["fp32"] == found["accuracy"]["compiled"] == 1.0
    assert any("its outputs are logits; a softmax was added" in line for line in found["imported"])
    assert found["links"][0]["model"] == "toy"
    assert [stage["name"] for stage in found["steps"]][:4] == ["data", "import", "check-description", "guard"]
    code, stdout, err = run("verify", out, "--json", "--min-version", "3")
    assert code == 0, err
    assert json.loads(stdout)["passed"] is True
    code, _, err = run("verify", out, "--min-version", "4")
    assert code == 1
    assert printed(err, "E_BUNDLE_ROLLBACK", says=("4", "3"))
    report = (out / "evidence/report.html").read_text()
    assert "Imported model" in report
    assert "Did the chain help?" not in report
    assert "imported onnx fp32" in report
    assert str(tmp_path) not in report
    again = compiled(run, out, brought(), "--data", ears, "--config", config, *PLAIN, target=target)
    assert all(stage["reused"] for stage in again["steps"] if not stage["name"].startswith("bench"))


def test_labels_in_another_order_than_sorted_are_kept_in_that_order(
    run: Run, tmp_path: Path, ears: Path, config: Path, brought: Callable[..., Path]
) -> None:
    pytest.importorskip("openvino")
    found = compiled(
        run, tmp_path / "out", brought(turned=True), "--data", ears, "--config", config, *PLAIN, "--labels", "light,dark"
    )
    assert found["accuracy"]["fp32"] == 1.0
    assert json.loads((tmp_path / "out/manifest.json").read_text())["labels"] == ["light", "dark"]


def test_classes_in_the_wrong_order_are_doubted_wherever_somebody_may_look(
    run: Run, tmp_path: Path, ears: Path, config: Path, brought: Callable[..., Path]
) -> None:
    pytest.importorskip("openvino")
    out = tmp_path / "out"
    config.write_text(QUICK + '[input]\nresize = "bilinear"\n')
    found, err = compiled_with_messages(run, out, brought(turned=True), "--data", ears, "--config", config, *PLAIN)
    (doubt,) = found["warnings"][:1]
    assert err == f"warning: {doubt}\n", "quiet hides progress, and no warning"
    assert doubt.startswith("With --labels 'light,dark' it would predict 100% of 18 images correctly instead of 0%")
    assert doubt.split(";")[0] in (out / "evidence/report.html").read_text().replace("&#39;", "'")
    assert doubt.split(";")[0] in (out / "evidence/model_card.md").read_text()
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["labels"] == ["dark", "light"], "nothing is changed unasked"
    assert manifest["input"]["frame"]["resize"] == "bilinear", "the setting is heeded for an imported network"
    assert any(gate["name"] == "better_than_chance" and gate["verdict"] != "PASS" for gate in manifest["gates"])


def binary(path: Path) -> Path:
    """Write a classifier of light and dark with one sigmoid, blue first, an active dropout, and a second output."""
    text = """<ir_version: 8, opset_import: ["" : 17]> toy (float[N,16,16,3] x) => (float[N,1] light, float[N,4] features) {
        turned = Transpose<perm=[0,3,1,2]>(x) map = Conv(turned, weights) mean = GlobalAveragePool(map)
        flat = Flatten(mean) ratio = Constant<value_float=0.5>() on = Constant<value = bool {1}>()
        features = Dropout(flat, ratio, on) sum = MatMul(features, head) logit = Add(sum, offset) light = Sigmoid(logit) }"""
    model = onnx.parser.parse_model(text)
    constants = {"weights": np.full((4, 3, 1, 1), 1 / 3), "head": np.full((4, 1), 5.0), "offset": np.array([-10.0])}
    for name, values in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    path.write_bytes(model.SerializeToString())
    return path


def test_a_binary_network_in_training_mode_is_deployed_as_the_user_says_and_with_a_warning(
    run: Run, tmp_path: Path, ears: Path, config: Path
) -> None:
    pytest.importorskip("openvino")
    config.write_text(QUICK.replace('"int8"', '"fp32"'))
    common = (binary(tmp_path / "binary.onnx"), "--data", ears, "--config", config, *PLAIN, "--channel-order", "bgr")
    asked = [*common, "--target", "cpu"]
    assert printed(refused(run, tmp_path, *asked, code=1), "E_MODEL_OUTPUT", says="'light', 'features'")
    err = refused(run, tmp_path, *asked, "--output", "light", code=1)
    assert printed(err, "E_MODEL_TRAINING_MODE", says="1 Dropout")
    out = tmp_path / "out"
    found = compiled(run, out, *common, "--output", "light", "--to-inference")
    assert found["accuracy"]["fp32"] == found["accuracy"]["compiled"] == 1.0
    assert any("it is the probability of 'light', the second label" in line for line in found["imported"])
    (doubt,) = [warning for warning in found["warnings"] if "exported in training mode" in warning]
    for place in ("report.html", "model_card.md"):
        assert doubt.split(";")[0] in (out / "evidence" / place).read_text()


def test_a_checkpoint_compiles_and_its_bundle_leads_back_to_it(run: Run, tmp_path: Path, ears: Path, config: Path) -> None:
    pytest.importorskip("openvino")
    weights = tmp_path / "tiny.safetensors"
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=2).state_dict(), weights)
    common = ("--data", ears, "--config", config)
    first = compiled(run, tmp_path / "a", weights, "--model", "test_resnet", "--input-size", "32", *common)
    assert first["imported"][0] == "Checkpoint tiny.safetensors of timm's test_resnet: every tensor fits."
    back = open_link(tmp_path / "a")
    assert back.link.test_accuracy.value == first["accuracy"]["fp32"]
    assert back.former is None, "nobody knows what it was trained on"
    shutil.rmtree(tmp_path / "a.work")
    code, _, err = run("compile", tmp_path / "a", *common, "--target", "cpu", "--out", tmp_path / "c", "--quiet")
    assert code == 1
    assert printed(err, "E_MODEL_WEIGHTS_FILE", says="a.work")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("interpolation", "resize", "scaled"),
    [("bicubic", "antialiased_bicubic", [24, 27]), ("area", "area", None), ("aliased-bilinear", "bilinear", None)],
)
def test_the_pixels_are_those_that_the_user_describes(
    run: Run,
    tmp_path: Path,
    ears: Path,
    config: Path,
    brought: Callable[..., Path],
    interpolation: str,
    resize: str,
    scaled: list[int] | None,
) -> None:
    pytest.importorskip("openvino")
    out = tmp_path / "out"
    described = ("--crop-pct", "16/18", "--interpolation", interpolation)
    found = compiled(run, out, brought(size=(16, 24)), "--data", ears, "--config", config, *PLAIN, *described)
    made = json.loads((out / "manifest.json").read_text())["input"]
    assert (made["network"]["height"], made["network"]["width"]) == (16, 24)
    # The frame has 36 x 40 pixels: its width is what is short, and 8 of 9 parts of it are kept.
    frame = {"height": 36, "width": 40, "crop": "center", "crop_size": [24, 36], "resize": resize}
    assert made["frame"] == {**frame, "scaled_size": scaled}
    assert found["accuracy"]["fp32"] == found["accuracy"]["compiled"] == 1.0
    (line,) = [line for line in found["imported"] if line.startswith("Pixels: ")]
    assert f"resized by {resize} (as the user said), crop_pct 0.888889 (as the user said), crop center (as is usual)" in line
    assert "36 x 24 of the frame's 40 x 36 pixels" in line
    code, stdout, err = run("verify", out, "--json")
    assert code == 0, err
    assert json.loads(stdout)["passed"] is True


def test_what_the_file_says_of_its_pixels_counts_unless_the_user_says_otherwise(
    run: Run, tmp_path: Path, ears: Path, config: Path, brought: Callable[..., Path]
) -> None:
    pytest.importorskip("openvino")
    says = {"mean": [0, 0, 0], "std": [1, 1, 1], "crop_pct": 0.8, "interpolation": "bicubic", "crop_mode": "squash"}
    network = brought(metadata={"pretrained_cfg": json.dumps(says)})
    found = compiled(run, tmp_path / "out", network, "--data", ears, "--config", config, "--interpolation", "bilinear")
    (line,) = [line for line in found["imported"] if line.startswith("Pixels: ")]
    said = "as the file's metadata say"
    assert f"antialiased_bilinear (as the user said), crop_pct 0.8 ({said}), crop stretch ({said})" in line
    assert f"Mean and standard deviation of its pixels are {said}." in found["imported"]
    frame = json.loads((tmp_path / "out/manifest.json").read_text())["input"]["frame"]
    assert (frame["crop"], frame["crop_size"], frame["scaled_size"]) == ("stretch", [29, 32], [20, 20])


def test_a_part_of_the_frame_that_no_device_can_use_is_refused(
    run: Run, tmp_path: Path, ears: Path, brought: Callable[..., Path]
) -> None:
    base = (brought(), "--data", ears, "--target", "cpu", *PLAIN)
    assert printed(
        refused(run, tmp_path, *base, "--crop-pct", "0.05", code=2), "E_CONFIG_RANGE", says=("2 x 2 pixels", "40 x 36")
    )
    base = (brought(size=(512, 512)), "--data", ears, "--target", "cpu", *PLAIN, "--set", "input.frame=[900, 900]")
    err = refused(run, tmp_path, *base, "--crop-pct", "0.05", code=2)
    assert printed(err, "E_CONFIG_RANGE", says=("512", "10240", "8192"))


def test_other_images_calibrate_where_they_are_asked_for(
    run: Run, tmp_path: Path, ears: Path, config: Path, brought: Callable[..., Path]
) -> None:
    pytest.importorskip("openvino")
    more = calibration(tmp_path)
    out = tmp_path / "out"
    compiled(run, out, brought(), "--data", ears, "--config", config, *PLAIN, "--calibrate-on", more)
    (kept,) = (tmp_path / "out.work").glob("quantize-*/artifact.json")
    found = json.loads(kept.read_text())["quantized"]
    pixels = {pixels_sha256(decode(path)) for path in more.rglob("*.png")}
    assert found["calibration_images"] == 8
    assert found["calibration_sha256"] in {calibration_digest_of(some) for some in combinations(sorted(pixels), 8)}


def calibration(tmp_path: Path, *, count: int = 6, labels: tuple[str, ...] = ("dark", "light")) -> Path:
    root = tmp_path / "more"
    for c, label in enumerate(labels):
        (root / label).mkdir(parents=True)
        for i in range(count):
            cells = np.random.default_rng(5000 + 100 * c + i).integers(120 * c, 120 * c + 130, (5, 5, 3), np.uint8)
            Image.fromarray(cells).resize((40, 36), Image.Resampling.BICUBIC).save(root / label / f"{i}.png")
    return root


def calibration_digest_of(pixels: Sequence[str]) -> str:
    return digest_of(sorted(pixels))


def refused(run: Run, tmp_path: Path, *args: str | Path, code: int) -> str:
    """Run what must be refused; return what it said."""
    out = tmp_path / "out"
    got, stdout, err = run("compile", *args, "--out", out, "--quiet")
    assert got == code, err
    assert stdout == ""
    assert len(err.strip().splitlines()) == 1, err
    assert not out.exists()
    return err


@pytest.mark.parametrize(
    ("args", "error", "says"),
    [
        ((), "E_CONFIG_OPTION_MISSING", ("--mean", "--std")),
        (("--mean", "0,1", "--std", "1"), "E_CONFIG_VALUE", "--mean 0,1"),
        (("--mean", "grey", "--std", "1"), "E_CONFIG_VALUE", "--mean grey"),
        ((*PLAIN, "--labels", "dark"), "E_CONFIG_VALUE", "--labels 'dark'"),
        ((*PLAIN, "--labels", "dark,dark"), "E_CONFIG_CLASSES", "--labels"),
        ((*PLAIN, "--model", "test_resnet"), "E_CONFIG_OPTION_UNUSED", "--model"),
        ((*PLAIN, "--output", "logits"), "E_CONFIG_CHOICE", "--output logits"),
        ((*PLAIN, "--layout", "nhwc"), "E_CONFIG_CONFLICT", "--layout nchw"),
        (("--mean", "127.5", "--std", "127.5"), "E_CONFIG_RANGE", "--mean 0.5 --std 0.5"),
        ((*PLAIN, "--model-options", "{}"), "E_CONFIG_OPTION_MISSING", "--model"),
        ((*PLAIN, "--target", "gpu"), "E_CONFIG_CHOICE", "'gpu'"),
        ((*PLAIN, "--device", "raspberry-pi5"), "E_CONFIG_CHOICE", "'raspberry-pi-5'"),
        ((*PLAIN, "--input-size", "64"), "E_CONFIG_CONFLICT", "[1, 3, 16, 16]"),
        ((*PLAIN, "--input-size", "16x24"), "E_CONFIG_CONFLICT", "--input-size 16x24"),
        ((*PLAIN, "--input-size", "16x16x3"), "E_CONFIG_VALUE", "--input-size 16x16x3"),
        ((*PLAIN, "--input-size", "4"), "E_CONFIG_RANGE", "--input-size 4"),
        ((*PLAIN, "--crop-pct", "1.2"), "E_CONFIG_RANGE", "crop_pct = 1.2"),
        ((*PLAIN, "--crop-pct", "0"), "E_CONFIG_RANGE", "crop_pct = 0"),
        ((*PLAIN, "--crop-pct", "most"), "E_CONFIG_VALUE", ("--crop-pct most", "224/256")),
        ((*PLAIN, "--interpolation", "bicubi"), "E_CONFIG_CHOICE", ("'bicubi'", "'bicubic'")),
        ((*PLAIN, "--set", "input.resize=antialiased_bicubi"), "E_RECORD_CHOICE", "antialiased_bicubic"),
    ],
)
def test_wrong_requests_are_one_line_and_leave_nothing(
    run: Run,
    tmp_path: Path,
    ears: Path,
    brought: Callable[..., Path],
    args: tuple[str, ...],
    error: str,
    says: tuple[str, ...] | str,
) -> None:
    base = ("--data", ears, *(() if "--target" in args else ("--target", "cpu")))
    assert printed(refused(run, tmp_path, brought(), *base, *args, code=2), error, says=says)
    assert not (tmp_path / "out.work").exists()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("weights.bin", "E_MODEL_WEIGHTS_FILE"),
        ("missing.onnx", "E_MODEL_FILE_MISSING"),
        ("ears", "E_STORE_NO_LINK"),
    ],
)
def test_what_is_no_network_is_refused(run: Run, tmp_path: Path, ears: Path, name: str, error: str) -> None:
    (tmp_path / "weights.bin").write_bytes(b"0")
    err = refused(run, tmp_path, tmp_path / name, "--data", ears, "--target", "cpu", code=1)
    assert printed(err, error, says=name)
    assert not (tmp_path / "out.work").exists()


def spoil_empty(more: Path, ears: Path) -> None:
    shutil.rmtree(more)
    more.mkdir()


def spoil_few(more: Path, ears: Path) -> None:
    for i in range(2, 6):
        (more / "dark" / f"{i}.png").unlink()
        (more / "light" / f"{i}.png").unlink()


def spoil_classes(more: Path, ears: Path) -> None:
    (more / "dark").rename(more / "grey")


def spoil_files(more: Path, ears: Path) -> None:
    (more / "dark/0.png").write_bytes(b"no image")


def spoil_overlap(more: Path, ears: Path) -> None:
    for path in (ears / "dark").iterdir():
        Image.open(path).save(more / "dark" / f"copy{path.stem}.bmp")  # another file around the same pixels


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (spoil_empty, "E_DATA_LAYOUT", ()),
        (spoil_few, "E_DATA_CALIBRATION", ("4", "8")),
        (spoil_classes, "E_DATA_CALIBRATION", ("grey, light", "dark, light", "'dark'")),
        (spoil_files, "E_DATA_BAD_IMAGES", "1"),
        (spoil_overlap, "E_DATA_CALIBRATION_SPLIT", ()),
    ],
)
def test_a_calibration_folder_that_cannot_be_used_is_refused(
    run: Run,
    tmp_path: Path,
    ears: Path,
    config: Path,
    brought: Callable[..., Path],
    spoil: Callable[[Path, Path], None],
    error: str,
    says: tuple[str, ...] | str,
) -> None:
    more = calibration(tmp_path)
    spoil(more, ears)
    args = (brought(), "--data", ears, "--target", "cpu", "--config", config, *PLAIN, "--calibrate-on", more)
    assert printed(refused(run, tmp_path, *args, code=1), error, says=says)
    assert not list((tmp_path / "out.work").glob("import-*"))


def test_labels_that_are_not_those_of_the_data_set_name_the_odd_ones(
    run: Run, tmp_path: Path, ears: Path, brought: Callable[..., Path]
) -> None:
    args = (brought(), "--data", ears, "--target", "cpu", *PLAIN, "--labels", "dark,grey")
    said = refused(run, tmp_path, *args, code=2)
    assert printed(said, "E_CONFIG_CLASSES", says=("data set's light", "network's grey"))


def test_a_full_disk_is_found_before_any_work(
    run: Run, tmp_path: Path, ears: Path, brought: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = brought()
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: SimpleNamespace(free=5 << 20))
    said = refused(run, tmp_path, path, "--data", ears, "--target", "cpu", *PLAIN, code=1)
    assert printed(said, "E_STORE_NO_SPACE", says=("64 MiB", "5 MiB"))
    assert not (tmp_path / "out.work").exists()


def test_test_images_that_a_former_build_trained_on_are_refused(networks: ModuleType) -> None:
    from weckd_edge.core.errors import DataError
    from weckd_edge.pipeline.steps.read_data import refuse_trained_on

    def index(split: Any) -> DatasetIndex:
        return networks.index_of(networks.record("a.png", 0, split), networks.record("b.png", 1, "val"))  # type: ignore[no-any-return]

    refuse_trained_on(index("test"), index("test"), "c.png is another file")
    with raises(DataError, "E_DATA_TRAINED_ON", says=("1", "a.png", "c.png is another file")):
        refuse_trained_on(index("train"), index("test"), "c.png is another file")


@pytest.mark.parametrize("unused", [{"input_size": 96}, {"width": 0.5}, {"pretrained": True}])
def test_settings_of_a_training_are_refused_for_a_network_that_is_imported(tmp_path: Path, unused: dict[str, Any]) -> None:
    path = tmp_path / "w.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=2).state_dict(), path)
    open_checkpoint(path, LinkConfig(model="test_resnet"), InputHints(), None)
    with raises(ConfigError, "E_CONFIG_OPTION_UNUSED", says=next(iter(unused))):
        open_checkpoint(path, LinkConfig(model="test_resnet", **unused), InputHints(), None)
