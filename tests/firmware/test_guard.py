"""The input guard in C: bit-exact with Python, and the network is not run where it rejects a frame."""

import ctypes
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support.errors import raises
from weckd_edge.artifacts import FrameGuard, FrameSpec, QualityLimits
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.core.serialization import to_json
from weckd_edge.devices.images.decoding import decode
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.devices.runtime.input_guard import FEATURES, distances, measure_frame, open_guard
from weckd_edge.devices.runtime.predict import OpenModel, open_bundle_model

REAL = Path(__file__).parents[2].parent / "shared/data"
REASONS = {
    None: 0,
    "low_probability": 1,
    "too_dark": 3,
    "too_bright": 4,
    "flat": 5,
    "blurred": 6,
    "out_of_distribution": 7,
    "non_gradeable_label": 8,
}


def make_guard(seed: int = 0, **more: Any) -> FrameGuard:
    """Return a guard of random numbers of the size that real ones have."""
    random = np.random.default_rng(seed)
    rows = [tuple((random.standard_normal(row + 1) / 7).tolist()) for row in range(FEATURES)]
    mean = tuple((random.random(FEATURES) * 90).tolist())
    return FrameGuard(**{"limits": QualityLimits(), "mean": mean, "whitening": tuple(rows), "max_ood_score": None, **more})


def guard_rows(library: Any, folder: Path, frames: NDArray[np.uint8], *options: object) -> list[list[float]]:
    """Return the C library's results: decision, prediction, reason, guard's reason, OOD score, four numbers of quality."""
    raw = folder.parent / "frames.raw"
    raw.write_bytes(frames.tobytes())
    height, width = frames.shape[1:3]
    out = library.run("runner", folder, "--backend", "echo", *options, "guard", raw, width, height, 0, 0)
    return [[float.fromhex(part) for part in line.split()] for line in out.splitlines()]


def by_python(folder: Path, frames: NDArray[np.uint8]) -> list[list[float]]:
    """Return the guard's reason, score and figures of quality of each frame."""
    guard = open_guard(open_bundle(folder))
    assert guard is not None
    found = []
    for frame in frames:
        seen = guard.check(frame)
        quality = seen.quality
        found.append(
            [
                float(REASONS[seen.code]),
                seen.ood_score,
                quality.sharpness,
                quality.contrast,
                quality.dark_fraction,
                quality.bright_fraction,
            ]
        )
    return found


@pytest.mark.parametrize(("height", "width"), [(3, 3), (5, 400), (64, 64), (65, 130), (97, 61), (480, 640)])
def test_every_figure_is_pythons_to_the_bit(library: Any, toy: ModuleType, tmp_path: Path, height: int, width: int) -> None:
    folder = sized_bundle(toy, tmp_path, height, width)
    random = np.random.default_rng(height)
    noise = random.integers(0, 256, (4, height, width, 3), np.uint8)
    flat = np.full((1, height, width, 3), 200, np.uint8)
    black = np.zeros((1, height, width, 3), np.uint8)
    ramp = np.broadcast_to((np.arange(width) % 256).astype(np.uint8)[:, None], (1, height, width, 3))
    frames = np.concatenate([noise, flat, black, ramp])
    assert [row[3:] for row in guard_rows(library, folder, frames)] == by_python(folder, frames)


def test_the_grid_lies_over_the_part_of_the_frame_that_the_manifest_names(
    library: Any, toy: ModuleType, tmp_path: Path
) -> None:
    folder = sized_bundle(toy, tmp_path, 60, 91, crop_size=(41, 70))
    frames = np.random.default_rng(0).integers(0, 256, (3, 60, 91, 3), np.uint8)
    found = by_python(folder, frames)
    assert [row[3:] for row in guard_rows(library, folder, frames)] == found
    around = frames.copy()
    around[:, :9], around[:, 50:], around[:, :, :10], around[:, :, 80:] = 0, 255, 0, 255
    assert [row[3:] for row in guard_rows(library, folder, around)] == by_python(folder, around) == found


def crafted_frames(height: int, width: int) -> NDArray[np.uint8]:
    """Return noise, frames of one colour, stripes one pixel wide, and a ramp ``[N, height, width, 3]``."""
    random = np.random.default_rng(height * 10_000 + width)
    shape = (height, width, 3)
    colours = [np.full(shape, colour) for colour in ((0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255))]
    board = np.broadcast_to(np.indices((height, width)).sum(axis=0)[:, :, None] % 2 * 255, shape)
    ramp = np.broadcast_to((np.arange(width) % 256)[:, None], shape)
    return np.stack([random.integers(0, 256, shape), random.integers(240, 256, shape), *colours, board, ramp]).astype(
        np.uint8
    )


@pytest.mark.parametrize("build", ["library", "sanitized", "sanitized_by_clang"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize(
    ("height", "width", "behind"), [(3, 3, 0), (3, 200, 5), (64, 64, 0), (66, 65, 1), (97, 61, 13), (480, 480, 0)]
)
def test_all_instructions_measure_what_python_measures_to_the_bit(
    request: pytest.FixtureRequest, tmp_path: Path, build: str, order: str, height: int, width: int, behind: int
) -> None:
    program = request.getfixturevalue(build)
    frames = crafted_frames(height, width)
    stored = frames[..., ::-1] if order == "bgr" else frames
    rows = np.full((len(frames), height, width * 3 + behind), 77, np.uint8)
    rows[..., : width * 3] = stored.reshape(len(frames), height, -1)
    raw = tmp_path / "frames.raw"
    raw.write_bytes(rows.tobytes())
    more = [order] if order == "bgr" else []
    lines = program.run("guard_features", raw, width, height, width * 3 + behind, *more).splitlines()
    found: dict[str, list[list[float]]] = {}
    for line in lines:
        name, *numbers = line.split()
        found.setdefault(name, []).append([float.fromhex(number) for number in numbers])
    whitening = np.array([[1 / (1 + i + 3 * j) if j <= i else 0.0 for j in range(FEATURES)] for i in range(FEATURES)])
    expected = []
    for frame in frames:
        measured = measure_frame(frame, FrameSpec(height=height, width=width, crop="stretch"))
        quality = measured.quality
        score = float(distances(measured.features[None], np.zeros(FEATURES), whitening)[0])
        kept = (quality.sharpness, quality.contrast, quality.dark_fraction, quality.bright_fraction)
        expected.append([*measured.features.tolist(), *kept, score])
    assert "plain" in found
    for name, numbers in found.items():
        assert numbers == expected, name


def sized_bundle(toy: ModuleType, tmp_path: Path, height: int, width: int, **more: Any) -> Path:
    """Return a bundle of frames of a size, whose crop is resized to the toy's pixels."""
    spec = toy.area_input_spec(height, width)
    spec = replace(spec, frame=replace(spec.frame, **more))
    folder: Path = toy.write_bundle(tmp_path / "bundle", guard=make_guard(height), spec=spec, **toy.IN_C).folder
    return folder


@pytest.mark.skipif(not REAL.is_dir(), reason="the real images are not here")
@pytest.mark.parametrize(("name", "height", "width"), [("otoscopy_chile", 380, 420), ("brain_mri", 224, 224)])
def test_real_frames_have_pythons_figures_to_the_bit(
    library: Any, toy: ModuleType, tmp_path: Path, name: str, height: int, width: int
) -> None:
    folder = sized_bundle(toy, tmp_path, height, width)
    files = sorted((REAL / name).rglob("*.jpg"))[::20]
    assert files
    frames = np.stack([fit_to_frame(decode(file), height, width) for file in files])
    assert [row[3:] for row in guard_rows(library, folder, frames)] == by_python(folder, frames)


@pytest.mark.parametrize("resize", ["area", "bilinear"])
def test_the_parts_of_a_call_add_up_to_no_more_than_the_whole(
    library: Any, toy: ModuleType, tmp_path: Path, resize: str
) -> None:
    spec = toy.area_input_spec() if resize == "area" else toy.input_spec()
    folder = toy.write_bundle(tmp_path / "bundle", guard=make_guard(), spec=spec, **toy.IN_C).folder
    raw = tmp_path / "raw"
    raw.write_bytes(toy.frames(3, side=40).tobytes())
    lines = library.run("runner", folder, "--backend", "echo", "--source", "64x64", "parts", raw, 30, 40, 40).splitlines()
    times = {name: [int(taken) for taken in found.split()] for name, _, found in (line.partition(" ") for line in lines)}
    whole = times.pop("whole")
    assert list(times) == ["front_end", "guard", "network", "decision"]
    assert min(times["front_end"]) > 0
    assert min(times["guard"]) > 0
    assert all(total >= sum(parts) for total, *parts in zip(whole, *times.values(), strict=True))


def limits_bundle(toy: ModuleType, tmp_path: Path, limits: QualityLimits, most: float | None, **more: Any) -> Path:
    folder: Path = toy.write_bundle(
        tmp_path / "bundle", guard=make_guard(limits=limits, max_ood_score=most), **more, **toy.IN_C
    ).folder
    return folder


@pytest.mark.parametrize(
    ("code", "limits", "most"),
    [
        ("too_dark", QualityLimits(max_dark_fraction=-1.0), 0.0),
        ("too_bright", QualityLimits(max_bright_fraction=-1.0, min_contrast=999.0), 0.0),
        ("flat", QualityLimits(min_contrast=999.0, min_sharpness=999.0), 0.0),
        ("blurred", QualityLimits(min_sharpness=999.0), 0.0),
        ("out_of_distribution", QualityLimits(), 0.0),
    ],
)
def test_a_rejected_frame_is_not_given_to_the_network_unless_asked(
    library: Any, toy: ModuleType, tmp_path: Path, code: str, limits: QualityLimits, most: float | None
) -> None:
    folder = limits_bundle(toy, tmp_path, limits, most)
    frames = toy.frames(3)
    for decision, prediction, reason, guard, *_ in guard_rows(library, folder, frames):
        assert (decision, prediction, reason, guard) == (-1, -1, REASONS[code], REASONS[code])
    for decision, prediction, reason, guard, *_ in guard_rows(library, folder, frames, "--ignore-guard", 1):
        assert decision == prediction >= 0
        assert (reason, guard) == (0, REASONS[code])
    model = open_bundle_model(folder, backend="onnxruntime")
    refused = model.predictor.predict(frames[:1])
    assert (refused.code, refused.guard, refused.label, refused.probabilities) == (code, code, None, {})
    answered = model.predictor.predict(frames[:1], ignore_guard=True)
    assert (answered.code, answered.guard, answered.decision) == (None, code, answered.label)
    model.runner.close()


def test_both_languages_abstain_on_the_same_labels(library: Any, toy: ModuleType, tmp_path: Path) -> None:
    frames = toy.frames(40)
    plain = toy.write_bundle(tmp_path / "plain", **toy.IN_C).folder
    predictions = [int(row[1]) for row in guard_rows(library, plain, frames)]
    refused = max(set(predictions), key=predictions.count)
    folder = toy.write_bundle(tmp_path / "bundle", non_gradeable_labels=(toy.LABELS[refused],), **toy.IN_C).folder
    for row, best in zip(guard_rows(library, folder, frames), predictions, strict=True):
        expected = (-1, best, 8) if best == refused else (best, best, 0)
        assert tuple(row[:3]) == expected
        assert row[4] < 0  # no guard, no score
    model: OpenModel = open_bundle_model(folder, backend="onnxruntime")
    codes = [model.predictor.predict(frame[None]) for frame in frames]
    model.runner.close()
    assert {a.code for a in codes if a.label == toy.LABELS[refused]} <= {"non_gradeable_label"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text.replace('"limits"', '"limits": {}, "limits"', 1), "guard"),
        (lambda text: text.replace('"max_ood_score": null', '"max_ood_score": "far"'), "guard"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "expected format 1"),
        (lambda text: text.replace('"mean": [', '"mean": [\n  1.0,'), "guard"),
        (lambda text: text.replace('"mean"', '"means"'), "guard"),
        (lambda text: text[: len(text) // 2], "guard"),
        (lambda text: '{"a":' * 40 + "1" + "}" * 40, "guard"),
    ],
)
def test_a_guard_that_is_not_sound_is_refused_by_both(
    library: Any, toy: ModuleType, tmp_path: Path, spoil: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weckd_edge.core.errors import BundleError

    text = spoil(to_json(make_guard()))
    monkeypatch.setattr(toy, "to_json", lambda _: text)
    folder = toy.write_bundle(tmp_path / "bundle", guard=make_guard(), **toy.IN_C).folder
    assert words in library.run("runner", folder, "check", expect=1)
    with pytest.raises(BundleError):
        open_guard(open_bundle(folder))


def test_the_binding_returns_what_the_guard_measured(library: Any, toy: ModuleType, tmp_path: Path) -> None:
    import importlib.util

    path = Path(__file__).parents[2] / "devices/firmware/python/weckd_edge_c.py"
    spec = importlib.util.spec_from_file_location("weckd_edge_c_guard", path)
    assert spec is not None
    assert spec.loader is not None
    binding = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = binding
    spec.loader.exec_module(binding)
    folder = limits_bundle(toy, tmp_path, QualityLimits(), 0.0)
    frames = toy.frames(2)
    opened = binding.Bundle(str(library.folder / "libweckd_edge.so"), str(folder), backend=b"echo")
    assert opened.contract.has_guard == 1
    prediction = opened.classify(frames[0].tobytes())
    expected = by_python(folder, frames[:1])[0]
    assert prediction.decision is None
    assert "not like the training frames" in prediction.reason
    assert [prediction.ood_score, prediction.quality.sharpness, prediction.quality.contrast] == expected[1:4]
    assert opened.classify(frames[0].tobytes(), flags=1).decision is not None
    opened.close()


def test_the_block_has_room_for_the_guard_whatever_the_bundle(library: Any) -> None:
    lib = ctypes.CDLL(str(library.folder / "libweckd_edge.so"))
    assert lib.weckd_api_version() == 6


def test_a_guard_of_another_size_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    from weckd_edge.core.errors import BundleError

    short = replace(make_guard(), mean=(1.0,))
    folder = toy.write_bundle(tmp_path / "bundle", guard=short, **toy.IN_C).folder
    with raises(BundleError, "E_BUNDLE_GUARD"):
        open_guard(open_bundle(folder))
