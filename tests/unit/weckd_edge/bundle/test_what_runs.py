"""What is proved is what runs: a file that is changed behind an opened bundle changes nothing, or is noticed."""

import json
import shutil
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from support.bundles.predicting import predict_images
from support.bundles.signing_keys import write_pair
from support.errors import raises
from weckd_edge.artifacts import BuiltModel
from weckd_edge.bundle import files
from weckd_edge.bundle import reader as bundle_module
from weckd_edge.bundle.packaging.tar_format import write as write_tar
from weckd_edge.bundle.reader import Bundle, open_bundle, sealed_files
from weckd_edge.bundle.signing import SignatureError, sign
from weckd_edge.bundle.writer import seal
from weckd_edge.cli.main import cli
from weckd_edge.core.errors import BundleError
from weckd_edge.core.store import file_ref
from weckd_edge.devices.attribution.explain_images import explain_images
from weckd_edge.devices.bench.bench import bench
from weckd_edge.devices.bench.settings import BenchSettings
from weckd_edge.devices.bench.watched_run import BenchMachine
from weckd_edge.devices.demo.session import DemoSession
from weckd_edge.devices.runtime import predict as infer_module
from weckd_edge.devices.runtime import verify_bundle as verify_module
from weckd_edge.devices.runtime.predict import open_bundle_model
from weckd_edge.devices.runtime.verify_bundle import verify_bundle


@pytest.fixture(scope="module")
def made(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with an IR, and so with three model files."""
    ov = pytest.importorskip("openvino")
    found = tmp_path_factory.mktemp("made") / "bundle"
    graph = toy.write_graph(found / "model/model.onnx")
    ov.save_model(ov.convert_model(graph), found / "model/model.xml", compress_to_fp16=False)
    model = BuiltModel(
        backend="openvino",
        backend_version="",
        precision="fp32",
        kind="model",
        files=tuple(file_ref(found, found / "model" / name) for name in ("model.bin", "model.xml")),
        source_sha256=file_ref(found, graph).sha256,
        settings={"INFERENCE_PRECISION_HINT": "f32"},
    )
    toy.write_bundle(found, models=[model])
    return found


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bundle"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.new("RGB", (8, 8), (200, 40, 90)).save(path)
    return path


@pytest.fixture(scope="module")
def other(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of other weights: its files take the place of the bundle's own, by the same names."""
    ov = pytest.importorskip("openvino")
    graph: Path = toy.write_graph(tmp_path_factory.mktemp("other") / "model.onnx", seed=7)
    ov.save_model(ov.convert_model(graph), graph.with_suffix(".xml"), compress_to_fp16=False)
    return graph.parent


@pytest.fixture
def swapped(monkeypatch: pytest.MonkeyPatch, folder: Path, other: Path) -> Callable[[Any], None]:
    """Make a module's ``open_bundle`` put the other network into the bundle as soon as it is opened."""

    def arm(module: Any) -> None:
        def hooked(*args: Any, **more: Any) -> Bundle:
            opened = open_bundle(*args, **more)
            shutil.copytree(other, folder / "model", dirs_exist_ok=True)
            return opened

        monkeypatch.setattr(module, "open_bundle", hooked)

    return arm


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_the_proved_model_predicts(
    folder: Path, picture: Path, swapped: Callable[[Any], None], backend: str, tmp_path: Path
) -> None:
    pytest.importorskip(backend)
    (expected,) = predict_images(folder, [picture], backend=backend)
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    swapped(infer_module)
    (answer,) = predict_images(folder, [picture], backend=backend)
    assert answer.probabilities == expected.probabilities
    with raises(BundleError, "E_BUNDLE_DIGEST"):
        open_bundle(folder)  # the trap was sprung
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    with DemoSession(folder, backend=backend) as session:
        assert session.predict(picture.read_bytes())["prediction"]["probabilities"] == expected.probabilities
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    with closing(open_bundle_model(folder, backend=backend)) as model:
        (explained,) = explain_images(model, [picture], tmp_path / f"pictures-{backend}")
    assert explained.prediction.probabilities == expected.probabilities


def test_the_proved_models_are_tested(folder: Path, swapped: Callable[[Any], None]) -> None:
    swapped(verify_module)
    result = verify_bundle(folder)
    assert result.passed, result.problem
    assert {test.backend for test in result.selftest} == {"openvino", "onnxruntime"}


def test_the_proved_model_is_timed(folder: Path, machines: ModuleType, tmp_path: Path) -> None:
    opened = open_bundle(folder)
    for name in ("model.xml", "model.bin", "model.onnx"):
        (folder / "model" / name).write_bytes(b"no model")
    machine = BenchMachine(root=machines.x86(tmp_path / "root"))
    found = bench(opened, BenchSettings(queries=2, warmup=0), machine=machine)
    assert len(found.end_to_end.samples_ns) == 2
    assert found.network is not None
    assert found.cold_start_ns > 0


def test_golden_frames_that_are_changed_meanwhile_are_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hooked(*args: Any, **more: Any) -> Bundle:
        opened = open_bundle(*args, **more)
        np.save(folder / "selftest/expected.npy", np.full((4, 3), 1 / 3, np.float32))
        return opened

    monkeypatch.setattr(verify_module, "open_bundle", hooked)
    result = verify_bundle(folder)
    assert not result.passed
    assert "selftest/expected.npy: expected SHA-256" in str(result.problem)


def test_an_update_holds_what_was_proved(folder: Path, tmp_path: Path) -> None:
    opened = open_bundle(folder)
    expected = dict(sealed_files(opened))
    (folder / "manifest.json").write_text("{}")
    (folder / "model/model.onnx").write_bytes(b"another")
    write_tar(opened, tmp_path / "update.tar")
    with tarfile.open(tmp_path / "update.tar") as tar:
        found = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
    assert found == expected
    (folder / "selftest/frames.npy").write_bytes(b"another")
    with raises(BundleError, "E_BUNDLE_DIGEST", says="selftest/frames.npy"):
        write_tar(opened, tmp_path / "update.tar")


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    pytest.importorskip("model_signing")
    found = {}
    for name in ("own", "other"):
        found[name], found[f"{name}.pub"] = write_pair(tmp_path, name)
    return found


def test_the_manifest_that_is_parsed_is_the_one_that_was_signed(
    folder: Path, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read once: a manifest that takes its place once the signature has been checked is never seen."""
    sign(folder, keys["own"])
    good, signature = (folder / "manifest.json").read_bytes(), (folder / "signature").read_bytes()
    seal(folder, replace(open_bundle(folder).manifest, name="another", labels=("a", "b", "c")))
    bad = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(good)
    (folder / "signature").write_bytes(signature)
    real = bundle_module.check_signature

    def checked(*args: Any, **more: Any) -> None:
        real(*args, **more)
        (folder / "manifest.json").write_bytes(bad)

    monkeypatch.setattr(bundle_module, "check_signature", checked)
    opened = open_bundle(folder, key=keys["own.pub"])
    assert (folder / "manifest.json").read_bytes() == bad
    assert (opened.manifest.name, opened.manifest_bytes, opened.signature_bytes) == ("toy", good, signature)


COMMANDS: dict[str, Callable[[Path, Path], list[str]]] = {
    "verify": lambda folder, picture: ["verify", str(folder)],
    "predict": lambda folder, picture: ["predict", str(folder), str(picture)],
    "predict --explain": lambda folder, picture: [
        "predict",
        str(folder),
        str(picture),
        "--explain",
        str(picture.parent / "p"),
    ],
    "bench": lambda folder, picture: ["bench", str(folder), "--queries", "1", "--warmup", "0", "--power", "none"],
    "bench --ssh": lambda folder, picture: ["bench", str(folder), "--ssh", "nobody@127.0.0.1:1"],
    "demo": lambda folder, picture: ["demo", str(folder), "--port", "0"],
    "finalize": lambda folder, picture: ["finalize", str(folder)],
    "report": lambda folder, picture: ["report", str(folder), "--out", str(picture.parent / "report.html")],
    "report --baseline": lambda folder, picture: ["report", str(folder), "--baseline", str(folder)],
    "package tar": lambda folder, picture: ["package", "tar", str(folder), "--out", str(picture.parent / "update.tar")],
    "data verify-index": lambda folder, picture: ["data", "verify-index", str(folder), str(picture.parent)],
    "estimate": lambda folder, picture: ["estimate", str(folder), "--device", "generic-x86"],
}


@pytest.mark.parametrize("what", COMMANDS)
def test_with_a_key_a_command_opens_only_what_its_owner_signed(
    what: str, folder: Path, picture: Path, keys: dict[str, Path]
) -> None:
    if what == "bench --ssh":
        pytest.importorskip("asyncssh")
    words = [*COMMANDS[what](folder, picture), "--key", str(keys["own.pub"])]
    result = CliRunner().invoke(cli, words)
    assert isinstance(result.exception, BundleError), (result.output, result.exception)
    assert "found an unsigned bundle" in str(result.exception)
    sign(folder, keys["other"])
    result = CliRunner().invoke(cli, words)
    assert isinstance(result.exception, BundleError)
    assert "made by another key" in str(result.exception)


@pytest.mark.parametrize("what", ["predict", "bench", "verify", "estimate"])
def test_what_the_owner_signed_is_opened(what: str, folder: Path, picture: Path, keys: dict[str, Path]) -> None:
    sign(folder, keys["own"])
    result = CliRunner().invoke(cli, [*COMMANDS[what](folder, picture), "--key", str(keys["own.pub"])])
    assert result.exit_code == 0, (result.output, result.exception)


@pytest.mark.parametrize("what", ["verify", "predict", "bench", "demo", "finalize"])
def test_a_lower_version_than_is_asked_for_is_refused(what: str, folder: Path, picture: Path) -> None:
    result = CliRunner().invoke(cli, [*COMMANDS[what](folder, picture), "--min-version", "2"])
    assert isinstance(result.exception, BundleError)
    assert "expected version 2 or newer, found 0" in str(result.exception)


def test_a_key_is_not_for_a_bundle_that_is_on_the_device(folder: Path, keys: dict[str, Path]) -> None:
    words = ["bench", str(folder), "--ssh", "nobody@127.0.0.1:1", "--remote-bundle", "--key", str(keys["own.pub"])]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "leave --remote-bundle out" in result.output


def test_what_cannot_be_read_is_reported_in_one_line(
    folder: Path, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions do not hold for root, who runs tests in a container: the system's answer is made here."""
    sign(folder, keys["own"])
    real = files.os.open
    denied = ""

    def refuse(path: Any, *args: Any, **more: Any) -> int:
        if str(path) == denied:
            raise PermissionError(13, "Permission denied")
        return int(real(path, *args, **more))

    monkeypatch.setattr(files.os, "open", refuse)
    for denied, words in (
        ("signature", "signature: Permission denied"),
        ("manifest.json", "manifest.json: Permission denied"),
        ("model.onnx", "model/model.onnx: Permission denied"),
        ("model", "model: cannot be opened (Permission denied)"),
        (str(folder), "cannot open it (Permission denied)"),
    ):
        result = verify_bundle(folder, keys["own.pub"])
        assert (result.passed, result.digests_ok) == (False, False)
        assert words in str(result.problem), denied
        assert "\n" not in str(result.problem)
        assert "another key" not in str(result.problem)


def test_a_folder_below_a_file_or_a_closed_folder_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file/below", tmp_path / "file", tmp_path / "none", tmp_path / "a\0b"):
        result = verify_bundle(path)
        assert not result.passed
        assert "expected a bundle" in str(result.problem)


def test_a_large_signature_is_not_read(folder: Path, keys: dict[str, Path]) -> None:
    with (folder / "signature").open("wb") as file:
        file.truncate(700 << 20)  # sparse
    with raises(SignatureError, "E_BUNDLE_SIGNATURE", says=("1048576", "734003200")):
        open_bundle(folder, key=keys["own.pub"])
    assert open_bundle(folder).signature == "unchecked"
    with raises(BundleError, "E_BUNDLE_LIMIT", says="1048576"):
        dict(sealed_files(open_bundle(folder)))


def test_a_guard_at_its_bounds_has_a_score_that_json_can_hold(toy: ModuleType, tmp_path: Path) -> None:
    from weckd_edge.artifacts import FrameGuard, QualityLimits
    from weckd_edge.core.serialization import to_json
    from weckd_edge.devices.runtime.input_guard import FEATURES, MAX_NUMBER, open_guard

    rows = tuple((MAX_NUMBER,) * (row + 1) for row in range(FEATURES))
    mean = (-MAX_NUMBER,) * FEATURES
    guard = FrameGuard(limits=QualityLimits(), mean=mean, whitening=rows, max_ood_score=MAX_NUMBER)
    opened = open_guard(toy.write_bundle(tmp_path / "b", guard=guard))
    assert opened is not None
    decision = opened.check(toy.frames(1)[0])
    assert decision.code == "out_of_distribution"
    assert json.loads(to_json(decision.ood_score)) > 1e100
