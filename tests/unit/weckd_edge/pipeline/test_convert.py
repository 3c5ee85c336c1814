"""A Jetson's recipe and its proofs are made anew for another precision of the same graph, and for another recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support import factories
from weckd_edge.artifacts import BuiltModel, FileRef
from weckd_edge.core.fingerprint import Key
from weckd_edge.core.store import Stage, digest_of

pytest.importorskip("onnx")

from weckd_edge.compile.backends import tensorrt_backend, tensorrt_rtx_backend
from weckd_edge.compile.quantize import calibration_images
from weckd_edge.pipeline.steps import convert

RECIPE, RTX, BUILT = "recipe-tensorrt", "preflight-tensorrt-rtx-float32", "preflight-tensorrt"


class Steps:
    """Stands in for the store: keeps the digest of each step's key, and what would make the step."""

    def __init__(self, recipe: FileRef) -> None:
        self.keys: dict[str, str] = {}
        self.made: dict[str, Callable[[Path], BuiltModel]] = {}
        self._artifact = BuiltModel(
            backend="tensorrt", backend_version="", precision="int8", kind="recipe", files=(recipe,), source_sha256="0" * 64
        )

    def step(self, name: str, kind: type[Any], key: Key, make: Callable[[Path], BuiltModel]) -> Stage[Any]:
        self.keys[name], self.made[name] = digest_of(key), make
        return Stage(name=name, artifact=self._artifact, folder=Path("made"), seconds=0.0, reused=False)


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Steps]:
    onnx = tmp_path / "model.onnx"
    onnx.write_bytes(b"graph")
    monkeypatch.setattr(calibration_images, "choose_images", lambda *_: ())
    monkeypatch.setattr(tensorrt_backend, "graphs_to_prove", lambda *_: {"float32": onnx})
    monkeypatch.setattr(tensorrt_backend, "can_build_here", lambda: True)
    monkeypatch.setattr(tensorrt_backend, "tensorrt_version", lambda: "10.3.0")

    def run(precision: str, recipe: FileRef | None = None) -> Steps:
        found = Steps(recipe or factories.file_reference("recipe.json"))
        ctx: Any = SimpleNamespace(profile=None, config=SimpleNamespace(seed=0), step=found.step)
        selection = SimpleNamespace(onnx=factories.file_reference(), precision=precision)
        convert._tensorrt(
            ctx,
            SimpleNamespace(selection=selection, onnx=onnx, input=None),  # type: ignore[arg-type]
            SimpleNamespace(index=None, root=tmp_path),  # type: ignore[arg-type]
        )
        return found

    return run


def test_the_same_graph_in_another_precision_has_a_recipe_and_proofs_of_its_own(steps: Callable[..., Steps]) -> None:
    half, single = steps("fp16").keys, steps("fp32").keys
    assert set(half) == {RECIPE, RTX, BUILT}
    assert half == steps("fp16").keys
    assert not set(half.values()) & set(single.values())


def test_another_recipe_is_built_anew(steps: Callable[..., Steps]) -> None:
    other = steps("int8", factories.file_reference("recipe.json", sha256="1" * 64)).keys
    assert steps("int8").keys[BUILT] != other[BUILT]


def test_a_proof_names_the_precision_of_its_recipe(steps: Callable[..., Steps], monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []
    monkeypatch.setattr(tensorrt_rtx_backend, "preflight", lambda *_, precision: named.append(precision))
    steps("fp16").made[RTX](Path("made"))
    assert named == ["fp16"]
