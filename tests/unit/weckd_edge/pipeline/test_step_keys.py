"""A step is made anew where a class is renamed that it goes by, and on another processor where its result depends on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from support import factories
from weckd_edge.artifacts import DatasetIndex, GuardRecord, OperatingPoint
from weckd_edge.compile.verify import implementations
from weckd_edge.config import BuildConfig, LinkConfig
from weckd_edge.core.fingerprint import Key
from weckd_edge.core.store import Stage, digest_of
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.pipeline.steps import predict as predict_step
from weckd_edge.pipeline.steps.abstain import abstain
from weckd_edge.pipeline.steps.audit_data import audit_data
from weckd_edge.pipeline.steps.exam import exam
from weckd_edge.pipeline.steps.export import export
from weckd_edge.pipeline.steps.measure import measure
from weckd_edge.pipeline.steps.predict import HeldOutFrames
from weckd_edge.pipeline.steps.quantize import quantize
from weckd_edge.pipeline.steps.verify import verify

pytest.importorskip("timm")
pytest.importorskip("onnx")

from support.training.hub_folder import write_hub_folder

VAL, TEST = factories.image("a.png", split="val"), factories.image("b.png")
GUARD = GuardRecord(guard=None, frames=0, groups=0, false_reject_rate=0.01, false_reject_bound=0.0, note="")
POINT = OperatingPoint(non_gradeable_labels=("wax",))


class KeyTakenError(Exception):
    """The key that a step was asked for with, before anything is made."""

    def __init__(self, key: Key) -> None:
        super().__init__()
        self.key = key


def staged(artifact: Any) -> Stage[Any]:
    return Stage(name="made", artifact=artifact, folder=Path("made"), seconds=0.0, reused=False)


def frames(record: Any) -> SplitFrames:
    return SplitFrames(split=record.split, records=(record,), frames=np.zeros((1, 24, 32, 3), np.uint8))


class Parts:
    """What the steps are given, by a data set."""

    def __init__(self, index: DatasetIndex) -> None:
        def take(name: str, kind: type[Any], key: Key, make: object) -> Any:
            raise KeyTakenError(key)

        self.index = index
        self.ctx: Any = SimpleNamespace(
            config=BuildConfig(),
            profile=None,
            machine=None,
            processor=("Xeon", "avx2"),
            target="cpu",
            step=take,
            workspace=None,
        )
        self.network: Any = SimpleNamespace(
            name="M1",
            name_in_reports="torch fp32",
            link=staged(factories.link(labels=tuple(index.labels))),
            modules=("weckd_edge.compile.export.onnx_export",),
            train_for_int8=None,
            int8_training=None,
        )
        deployed = SimpleNamespace(name="openvino int8", digest=lambda: "1")
        self.exported: Any = staged(SimpleNamespace(onnx=factories.file_reference(), labels=tuple(index.labels)))
        self.student: Any = SimpleNamespace(
            deployed=deployed,
            as_written=deployed,
            network=self.network,
            exported=self.exported,
            selection=SimpleNamespace(models=()),
            runs_here=[],
            recalibration=None,
            input=None,
        )
        self.verification: Any = staged("predictions")
        self.held_out = HeldOutFrames(val=frames(VAL), test=frames(TEST))


STEPS: dict[str, Callable[[Parts], object]] = {
    "export": lambda of: export(of.ctx, of.network),
    "quantize": lambda of: quantize(
        of.ctx,
        of.network,
        of.exported,
        of.held_out.val,
        SimpleNamespace(index=of.index, root=Path()),  # type: ignore[arg-type]
    ),
    "abstain": lambda of: abstain(of.ctx, of.student, of.verification, staged(GUARD), of.held_out, of.index),
    "exam": lambda of: exam(of.ctx, of.student, of.verification, staged(GUARD), of.held_out, of.index, POINT),
    "measure": lambda of: measure(of.ctx, of.student, None, of.verification.artifact, of.index, POINT),
}


def test_an_audit_is_made_anew_for_other_weights_under_the_same_name(ears: Path, tmp_path: Path) -> None:
    parts = Parts(factories.index([VAL, TEST], ("ear", "wax")))
    parts.ctx.data = ears
    parts.ctx.config = BuildConfig(link=2 * (LinkConfig(model=f"local-dir:{tmp_path / 'hub'}", input_size=32),))

    def key(seed: int) -> str:
        write_hub_folder(tmp_path / "hub", seed)
        with pytest.raises(KeyTakenError) as caught:
            audit_data(parts.ctx, parts.network, parts.held_out.test, parts.index)
        return digest_of(caught.value.key)

    assert key(1) == key(1)
    assert key(1) != key(2)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_goes_by_the_names_of_classes_is_made_anew_for_other_names(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weckd_edge.pipeline.steps.quantize.needs_half_range", lambda *_: False)

    def key(*labels: str) -> str:
        with pytest.raises(KeyTakenError) as caught:
            STEPS[name](Parts(factories.index([VAL, TEST], labels)))
        return digest_of(caught.value.key)

    assert key("ear", "wax") == key("ear", "wax")
    assert key("ear", "wax") != key("wax", "wax blocks the view")


ON_PROCESSORS: dict[str, Callable[[Parts], object]] = {
    "quantize": STEPS["quantize"],
    "abstain": STEPS["abstain"],
    "exam": STEPS["exam"],
    "verify": lambda of: verify(of.ctx, of.student, None, of.held_out.test),
}


@pytest.mark.parametrize("name", ON_PROCESSORS)
@pytest.mark.parametrize("processor", [("N97", "avx2"), ("Xeon", "avx2", "avx512_vnni")], ids=["host", "sets"])
def test_what_was_timed_or_predicted_on_another_processor_is_made_anew(
    name: str, processor: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weckd_edge.pipeline.steps.quantize.needs_half_range", lambda *_: False)
    monkeypatch.setattr("weckd_edge.pipeline.steps.verify.runners_here", lambda _: [])

    def key(**changes: Any) -> str:
        parts = Parts(factories.index([VAL, TEST], ("ear", "wax")))
        vars(parts.ctx).update(changes)
        with pytest.raises(KeyTakenError) as caught:
            ON_PROCESSORS[name](parts)
        return digest_of(caught.value.key)

    assert key() == key()
    assert key() != key(processor=processor)


def test_for_a_jetson_nothing_is_timed_here_and_a_precision_is_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weckd_edge.pipeline.steps.quantize.needs_half_range", lambda *_: False)

    def key(host: str) -> str:
        parts = Parts(factories.index([VAL, TEST], ("ear", "wax")))
        parts.ctx.target, parts.ctx.processor = "jetson", (host,)
        with pytest.raises(KeyTakenError) as caught:
            STEPS["quantize"](parts)
        return digest_of(caught.value.key)

    assert key("Xeon") == key("N97")


def test_predictions_of_a_graph_computed_as_written_are_kept_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtimes: list[tuple[str, ...]] = []
    monkeypatch.setattr(predict_step, "predict_once", lambda _workspace, model, *_: runtimes.append(model.runtime))
    spec, model = factories.input_spec(24, width=32), tmp_path / "model.onnx"
    model.write_bytes(b"a graph")
    candidate = implementations.Implementation(backend="openvino", model=model, input=spec, precision="int8")
    for saturates in (False, True):
        monkeypatch.setattr(implementations, "is_computed_as_written", lambda *_, found=saturates: found)
        parts = Parts(factories.index([VAL, TEST], ("ear", "wax")))
        predict_step.predict(parts.ctx, spec, candidate, parts.held_out.test)
    assert runtimes == [("openvino", "Xeon", "avx2"), ("openvino", "as written", "Xeon", "avx2")]


@pytest.mark.parametrize("name", ["export", "verify"])
@pytest.mark.parametrize(
    "change", [{"model": "tf_efficientnet_b0"}, {"options": {"bn_eps": 1e-3}}], ids=["model", "options"]
)
def test_what_is_made_of_a_network_is_made_anew_for_another_one_with_the_same_weights(
    name: str, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weckd_edge.pipeline.steps.verify.runners_here", lambda _: [])

    def key(**changes: Any) -> str:
        parts = Parts(factories.index([VAL, TEST], ("ear", "wax")))
        parts.network.link = staged(replace(parts.network.link.artifact, **changes))
        with pytest.raises(KeyTakenError) as caught:
            {**STEPS, **ON_PROCESSORS}[name](parts)
        return digest_of(caught.value.key)

    assert key() == key(name="imported") != key(**change)


def test_a_precision_is_chosen_anew_where_its_int8_would_be_trained_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weckd_edge.pipeline.steps.quantize.needs_half_range", lambda *_: False)

    def key(depends_on: object) -> str:
        parts = Parts(factories.index([VAL, TEST], ("ear", "wax")))
        parts.network.int8_training = depends_on
        with pytest.raises(KeyTakenError) as caught:
            STEPS["quantize"](parts)
        return digest_of(caught.value.key)

    assert key(["M2"]) == key(["M2"]) != key(["another M2"])
