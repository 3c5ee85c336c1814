"""The TensorRT backend against a stand-in for NVIDIA's headers and libraries; it never met the real ones."""

import copy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.serialization import to_data
from weckd_edge.core.store import file_ref


@pytest.fixture(scope="module")
def tensorrt_library(firmware: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    stand_in = firmware.SOURCE / "tests/stand_in"
    return firmware.build(
        tmp_path_factory.mktemp("tensorrt") / "build",
        "-DWECKD_TENSORRT=ON",
        "-DWECKD_OPENVINO=OFF",
        "-DWECKD_SANITIZE=ON",
        f"-DTENSORRT_INCLUDE_DIR={stand_in}",
        f"-DCUDA_RUNTIME_INCLUDE_DIR={stand_in}",
    )


def build_engine(choices: ModuleType, bundle: Bundle, text: str, **changes: Any) -> None:
    """Write the engine and the choice that ``finalize`` writes."""
    path = bundle.folder / "device/engines/abc/model.engine"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    choices.write(bundle.folder, choices.engine(bundle.manifest, file_ref(bundle.folder, path), **changes))


def run_frames(library: Any, folder: Path, raw: Path, width: int, height: int, expect: int = 0) -> str:
    options = ("--backend", "tensorrt", "--library", library.folder / "tests/libcudart.so")
    env = {"LD_LIBRARY_PATH": str(library.folder / "tests")}
    return str(library.run("runner", folder, *options, "frames", raw, width, height, 0, 0, expect=expect, env=env))


def sums(frames: Any) -> list[list[float]]:
    """Return what the stand-in predicts for what its engine takes."""
    flat = frames.reshape(len(frames), -1).astype(np.float64)
    found = np.stack([flat[:, k::3].sum(axis=1) for k in range(3)], axis=1) / flat.sum(axis=1, keepdims=True)
    return [list(row) for row in found]


@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_an_engine_of_this_graph_predicts(
    tensorrt_library: Any, firmware: ModuleType, toy: ModuleType, choices: ModuleType, tmp_path: Path, kind: str
) -> None:
    bundle = toy.write_bundle(tmp_path / "bundle", device="jetson-orin-nano-8gb")
    side = toy.SIDE
    build_engine(choices, bundle, f"engine {kind} {side} {side} 3")
    (tmp_path / "raw").write_bytes(toy.frames().tobytes())
    by_engine = firmware.read_predictions(run_frames(tensorrt_library, bundle.folder, tmp_path / "raw", side, side))
    for expected, (_, prediction, _, probabilities) in zip(sums(toy.frames()), by_engine, strict=True):
        assert probabilities == pytest.approx(expected, abs=1e-6)
        assert prediction == int(np.argmax(expected))


@pytest.mark.parametrize("takes", ["pixels", "frame"])
def test_an_engine_gets_what_its_choice_says_that_it_takes(
    tensorrt_library: Any, firmware: ModuleType, toy: ModuleType, choices: ModuleType, tmp_path: Path, takes: str
) -> None:
    """The bundle's own graph takes pixels that a front end makes; an engine may have crop and resize inside."""
    bundle = toy.write_bundle(tmp_path / "bundle", device="jetson-orin-nano-8gb", resize="area")
    height, width = toy.WIDE
    frames = toy.frames(size=toy.WIDE)
    shown = toy.pixels(frames) if takes == "pixels" else frames
    build_engine(choices, bundle, f"engine uint8 {shown.shape[1]} {shown.shape[2]} 3", takes=takes)
    (tmp_path / "raw").write_bytes(frames.tobytes())
    by_engine = firmware.read_predictions(run_frames(tensorrt_library, bundle.folder, tmp_path / "raw", width, height))
    for expected, (_, _, _, probabilities) in zip(sums(shown), by_engine, strict=True):
        assert probabilities == pytest.approx(expected, abs=1e-6)


def test_an_engine_is_proved_by_the_recipe_whatever_its_choice_says(
    tensorrt_library: Any, toy: ModuleType, choices: ModuleType, tmp_path: Path
) -> None:
    bundle = toy.write_bundle(tmp_path / "bundle", device="jetson-orin-nano-8gb")
    build_engine(choices, bundle, "engine uint8 8 8 3", tolerance=0.5, expected=to_data(bundle.manifest.selftest.frames))
    options = ("--backend", "tensorrt", "--library", tensorrt_library.folder / "tests/libcudart.so")
    env = {"LD_LIBRARY_PATH": str(tensorrt_library.folder / "tests")}
    out = tensorrt_library.run("runner", bundle.folder, *options, "selftest", expect=1, env=env)
    assert f" tolerance {toy.RECIPE_TOLERANCE:g} backend tensorrt " in out
    assert " int8 chosen here takes the frame" in out
    assert "with tensorrt in int8 a probability differs by" in out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not an engine", "built by another version"),
        ("engine uint8 8 9 3", "not what the manifest says"),
        ("engine uint8 8 8 4", "not what the manifest says"),
    ],
)
def test_another_engine_is_refused(
    tensorrt_library: Any, toy: ModuleType, choices: ModuleType, tmp_path: Path, text: str, words: str
) -> None:
    bundle = toy.write_bundle(tmp_path / "bundle", device="jetson-orin-nano-8gb")
    build_engine(choices, bundle, text)
    (tmp_path / "raw").write_bytes(toy.frames().tobytes())
    out = run_frames(tensorrt_library, bundle.folder, tmp_path / "raw", toy.SIDE, toy.SIDE, expect=1)
    assert out.startswith("status -15:")
    assert words in out


@pytest.mark.parametrize("text", ["not an engine", "engine uint8 8 8 4"])
def test_an_engine_that_its_runtime_takes_no_more_is_left_aside(
    tensorrt_library: Any, toy: ModuleType, choices: ModuleType, tmp_path: Path, text: str
) -> None:
    """A model of the manifest runs, as where the library is missing; the facts of what runs tell of it."""
    bundle = toy.write_bundle(tmp_path / "bundle", device="jetson-orin-nano-8gb", backends=["echo"])
    options = ("--library", tensorrt_library.folder / "tests/libcudart.so")
    env = {"LD_LIBRARY_PATH": str(tensorrt_library.folder / "tests")}

    def runs(*more: object) -> str:
        return str(tensorrt_library.run("runner", bundle.folder, *options, *more, "selftest", expect=None, env=env))

    build_engine(choices, bundle, "engine uint8 8 8 3")
    assert " backend tensorrt " in runs()
    build_engine(choices, bundle, text)
    assert runs().splitlines()[0].endswith(" backend echo 1 int8 takes the frame")
    assert runs("--backend", "tensorrt").startswith("status -15:")
    engine = bundle.folder / "device/engines/abc/model.engine"
    engine.write_text(text[::-1])  # of the same size, and not the one that was chosen
    assert runs().splitlines()[0].endswith(" backend echo 1 int8 takes the frame")
    assert runs("--backend", "tensorrt").startswith("status -14:")


def test_a_choice_of_an_engine_that_does_not_prove_true_is_not_followed(
    tensorrt_library: Any, toy: ModuleType, choices: ModuleType, tmp_path: Path
) -> None:
    bundle = toy.write_bundle(tmp_path / "bundle", device="jetson-orin-nano-8gb")
    (tmp_path / "raw").write_bytes(toy.frames().tobytes())
    good = "engine uint8 8 8 3"

    def run(expect: int = 1) -> str:
        return run_frames(tensorrt_library, bundle.folder, tmp_path / "raw", toy.SIDE, toy.SIDE, expect=expect)

    build_engine(choices, bundle, good)
    run(expect=0)
    record = choices.engine(bundle.manifest, file_ref(bundle.folder, bundle.folder / "device/engines/abc/model.engine"))
    frames = to_data(bundle.manifest.selftest.frames)
    changes = {
        **choices.WRONG,
        "a listed file beside it": lambda data: data["files"].append(frames),
        "another backend than builds engines": choices.put(backend="openvino"),
    }
    meant_for_models = ("a model that is not listed", "another bundle", "a tolerance that is not the model's")
    same = "another backend than the files'"
    for what, change in changes.items():
        if what in (*meant_for_models, same):
            continue
        changed = copy.deepcopy(record)
        change(changed)
        choices.write(bundle.folder, changed)
        out = run()
        assert out.startswith("status -14:"), (what, out)
        assert "no model that this build runs here with tensorrt" in out, what
    build_engine(choices, bundle, good)
    (bundle.folder / "device/engines/abc/model.engine").write_text("engine uint8 8 8 4")
    assert run().startswith("status -14:")
