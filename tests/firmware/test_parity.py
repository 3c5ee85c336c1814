"""The C library and ``weckd-edge predict`` give bit-exact probabilities on the same backend."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from support.bundles.predicting import predict_images
from weckd_edge.artifacts import BuiltModel, Manifest
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.core.store import file_ref
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.devices.runtime.decision import Decision, decide
from weckd_edge.devices.runtime.front_end import FrontEnd
from weckd_edge.devices.runtime.model_choice import choose_model

REAL = Path(__file__).parents[2].parent / "shared/data/otoscopy_chile"


def c_predictions(
    firmware: ModuleType, library: Any, folder: Path, images: Sequence[NDArray[np.uint8]], *where: object, **more: Any
) -> list[tuple[int, int, int, list[float]]]:
    """Classify images of one size with the C library."""
    raw = folder.parent / "frames.raw"
    raw.write_bytes(b"".join(np.ascontiguousarray(image).tobytes() for image in images))
    backend = more.get("backend", "openvino")
    options = ["--backend", backend, "--source", "8192x8192"]
    options += ["--library", library.openvino] if backend == "openvino" else []
    height, width = more.get("size", images[0].shape[:2])
    out = library.run("runner", folder, *options, "frames", raw, width, height, *where)
    return list(firmware.read_predictions(out))


def is_same(row: tuple[int, int, int, list[float]], by_python: Decision, manifest: Manifest) -> bool:
    """Compare decision, prediction label, reason and every probability, to the bit."""
    decision, prediction, reason, probabilities = row
    labels = manifest.labels
    said = None if decision == -1 else labels[decision]
    return (
        (said or "unable to analyze") == by_python.decision
        and labels[prediction] == by_python.label
        and (reason != 0) == (by_python.reason is not None)
        and probabilities == [by_python.probabilities[label] for label in labels]
    )


def require_openvino(library: Any) -> None:
    if library.openvino is None:
        pytest.skip("OpenVINO's wheel is not installed")


@pytest.fixture(scope="module")
def network_bundle(toy: ModuleType, networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose model is OpenVINO IR of a toy network."""
    import openvino as ov

    folder = tmp_path_factory.mktemp("parity") / "bundle"
    toy.write_graph(folder / "model/model.onnx", seed=5)
    (folder / "model/openvino").mkdir()
    ov.save_model(ov.convert_model(folder / "model/model.onnx"), folder / "model/openvino/model.xml", compress_to_fp16=False)
    built = BuiltModel(
        backend="openvino",
        backend_version="0",
        precision="fp32",
        kind="model",
        files=tuple(file_ref(folder, folder / "model/openvino" / name) for name in ("model.bin", "model.xml")),
        source_sha256=file_ref(folder, folder / "model/model.onnx").sha256,
        settings={"INFERENCE_PRECISION_HINT": "f32"},
    )
    prediction = toy.answers(folder / "model/model.onnx", toy.frames(200)).max(axis=1)
    toy.write_bundle(folder, models=[built], confidence_threshold=float(np.median(prediction)), **toy.IN_C)
    return folder


def test_every_probability_and_decision_is_pythons(
    firmware: ModuleType, library: Any, network_bundle: Path, toy: ModuleType
) -> None:
    require_openvino(library)
    images = list(toy.frames(200))
    bundle = open_bundle(network_bundle)
    choice = choose_model(bundle, "openvino")
    assert choice.model.suffix == ".xml"
    runner = open_runner(choice.backend, choice.model)
    by_c = c_predictions(firmware, library, network_bundle, images, 0, 0)
    assert len(by_c) == len(images)
    decided = 0
    for image, row in zip(images, by_c, strict=True):
        by_python = decide(
            runner.run(np.ascontiguousarray(image[None])), bundle.manifest.labels, bundle.manifest.operating_point
        )
        assert is_same(row, by_python, bundle.manifest), (row, by_python)
        decided += row[0] != -1
    runner.close()
    assert 0 < decided < len(images)  # both a decision and none were compared


def test_the_self_test_gives_pythons_figure(library: Any, network_bundle: Path) -> None:
    require_openvino(library)
    from weckd_edge.devices.runtime.verify_bundle import self_tests

    by_python = next(test for test in self_tests(open_bundle(network_bundle)) if test.backend == "openvino")
    out = library.run("runner", network_bundle, "--backend", "openvino", "--library", library.openvino, "selftest").split()
    assert by_python.passed
    assert (int(out[1]), int(out[3]), float.fromhex(out[5])) == (by_python.frames, by_python.flips, by_python.max_abs)


@pytest.mark.parametrize(
    "size",
    [(8, 8), (48, 64), (64, 48), (9, 8), (8, 9), (10, 100), (100, 10), (479, 641), (16, 16), (8192, 8), (8, 8192)],
)
def test_covering_gives_pythons_pixels_to_the_bit(
    firmware: ModuleType, library: Any, bundle: Path, toy: ModuleType, size: tuple[int, int]
) -> None:
    random = np.random.default_rng(size[0] * 1000 + size[1])
    image = random.integers(0, 256, (*size, 3), np.uint8)
    frame = fit_to_frame(image, toy.SIDE, toy.SIDE)
    covered = c_predictions(firmware, library, bundle, [image], 0, 1, backend="echo")
    exact = c_predictions(firmware, library, bundle, [frame], 0, 0, backend="echo")
    assert covered == exact


@pytest.mark.parametrize("side", [5, 7, 96, 128])
def test_covering_larger_frames_gives_pythons_pixels(
    firmware: ModuleType, library: Any, tmp_path: Path, toy: ModuleType, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy, "SIDE", side)
    folder = toy.write_bundle(tmp_path / "bundle", **toy.IN_C).folder
    random = np.random.default_rng(side)
    for _ in range(12):
        height, width = random.integers(side, 400, 2)
        image = random.integers(0, 256, (int(height), int(width), 3), np.uint8)
        covered = c_predictions(firmware, library, folder, [image], 0, 1, backend="echo")
        assert covered == c_predictions(firmware, library, folder, [fit_to_frame(image, side, side)], 0, 0, backend="echo")


def test_a_region_and_other_formats_give_the_same_pixels(
    firmware: ModuleType, library: Any, bundle: Path, toy: ModuleType
) -> None:
    random = np.random.default_rng(3)
    image = random.integers(0, 256, (40, 60, 3), np.uint8)
    side = toy.SIDE

    def predictions(*args: Any, **more: Any) -> Any:
        return c_predictions(firmware, library, bundle, *args, backend="echo", **more)

    expected = predictions([image[10 : 10 + side, 20 : 20 + side]], 0, 0)
    assert predictions([image], 0, 0, 20, 10, side, side) == expected
    assert predictions([image[..., ::-1]], 1, 0, 20, 10, side, side) == expected
    region = image[4:34, 6:56]
    assert predictions([image], 0, 1, 6, 4, 50, 30) == predictions([fit_to_frame(region, side, side)], 0, 0)
    grey = np.repeat(image[..., :1], 3, axis=2)
    assert predictions([image[..., 0]], 2, 1) == predictions([grey], 0, 1)
    light, chroma = image[..., 0], np.full((20, 60), 128, np.uint8)  # no colour: 16..235 become 0..255
    nv12 = np.concatenate([light, chroma])
    yuyv = np.stack([light, np.full_like(light, 128)], axis=2)
    wide = np.clip(np.floor((light.astype(np.int64) - 16) * 76309 / 65536 + 0.5), 0, 255).astype(np.uint8)
    rgb = np.repeat(wide[..., None], 3, axis=2)
    assert predictions([nv12], 3, 1, size=(40, 60)) == predictions([rgb], 0, 1)
    assert predictions([yuyv], 4, 1, size=(40, 60)) == predictions([rgb], 0, 1)


def test_a_graph_that_takes_pixels_sees_those_of_python(
    firmware: ModuleType, library: Any, toy: ModuleType, tmp_path: Path
) -> None:
    spec = toy.area_input_spec()
    folder = toy.write_bundle(tmp_path / "bundle", spec=spec, **toy.IN_C).folder
    plain = toy.write_bundle(tmp_path / "plain", **toy.IN_C).folder
    front_end = FrontEnd(spec)
    height, width = spec.frame.height, spec.frame.width
    for number, size in enumerate([(height, width), (100, 60), (1080, 1920), (8, 30), (2 * height, 2 * width)]):
        image = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        pixels = front_end.pixels(fit_to_frame(image, height, width)[None])[0]
        found = c_predictions(firmware, library, folder, [image], 0, 1, backend="echo")
        assert found == c_predictions(firmware, library, plain, [pixels], 0, 0, backend="echo"), size
        assert found == c_predictions(firmware, library, folder, [image[..., ::-1]], 1, 1, backend="echo"), size


def test_the_self_test_of_a_graph_that_takes_pixels_runs_the_front_end(
    library: Any, toy: ModuleType, tmp_path: Path
) -> None:
    require_openvino(library)
    folder = toy.write_bundle(tmp_path / "bundle", spec=toy.area_input_spec(), **toy.IN_C).folder
    out = library.run("runner", folder, "--backend", "openvino", "--library", library.openvino, "selftest").split()
    assert (int(out[1]), int(out[3])) == (4, 0)
    assert float.fromhex(out[5]) < 1e-5


def test_another_size_is_refused_unless_covering_is_asked_for(library: Any, bundle: Path) -> None:
    raw = bundle.parent / "raw"
    raw.write_bytes(bytes(20 * 20 * 3))
    out = library.run("runner", bundle, "--backend", "echo", "frames", raw, 20, 20, 0, 0, expect=1)
    assert "expected a region of 8 x 8 pixels, got 20 x 20" in out
    out = library.run("runner", bundle, "--backend", "echo", "--source", "19x20", "frames", raw, 20, 20, 0, 1, expect=1)
    assert "takes at most 19 x 20" in out
    out = library.run("runner", bundle, "--backend", "echo", "--source", "64x64", "frames", raw, 20, 7, 0, 1, expect=1)
    assert "at least 8 x 8 pixels, as many as the network's input has, got 20 x 7" in out


@pytest.mark.skipif(not REAL.is_dir(), reason="the otoscope images are not here")
def test_real_images_are_classified_as_in_python(
    firmware: ModuleType, library: Any, network_bundle: Path, tmp_path: Path
) -> None:
    require_openvino(library)
    files = sorted(REAL.rglob("*.jpg"))[::10] + sorted(REAL.rglob("*.png"))[::10]
    assert files
    manifest = open_bundle(network_bundle).manifest
    folder = tmp_path / "bundle"
    shutil.copytree(network_bundle, folder)
    for file, by_python in zip(files, predict_images(folder, files, backend="openvino"), strict=True):
        image = np.asarray(Image.open(file).convert("RGB"))
        assert is_same(c_predictions(firmware, library, folder, [image], 0, 1)[0], by_python, manifest), file


def test_a_compiled_model_from_the_cache_predicts_the_same(
    firmware: ModuleType, library: Any, network_bundle: Path, toy: ModuleType, tmp_path: Path
) -> None:
    require_openvino(library)
    cache = tmp_path / "cache"
    cache.mkdir()
    raw = tmp_path / "raw"
    raw.write_bytes(toy.frames(20).tobytes())
    options = ("--backend", "openvino", "--library", library.openvino)

    def predictions(*more: object) -> str:
        return str(library.run("runner", network_bundle, *options, *more, "frames", raw, toy.SIDE, toy.SIDE, 0, 0))

    expected = predictions()
    assert predictions("--cache", cache) == expected
    (blob,) = cache.iterdir()
    good = blob.read_bytes()
    assert predictions("--cache", cache) == expected
    assert list(cache.iterdir()) == [blob]
    for bad in (b"", good[:20], good[:-1], good[:100] + bytes([good[100] ^ 1]) + good[101:]):
        blob.write_bytes(bad)
        assert predictions("--cache", cache) == expected
        assert len(blob.read_bytes()) == len(good)  # compiled again, and kept
    assert predictions("--cache", tmp_path / "nosuch") == expected
