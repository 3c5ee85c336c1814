"""What a build finds of "unable to analyze": guard, threshold, gates and evidence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support import factories
from support.errors import raises
from weckd_edge.artifacts import Abstention, DatasetIndex, FrameSpec, GuardRecord, OperatingPoint, Prediction
from weckd_edge.config import AbstainConfig, BuildConfig, ExamConfig, GuardConfig, TrainConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.core.store import Stage, Workspace
from weckd_edge.devices.images.split_frames import decode_split
from weckd_edge.pipeline.checks import warn_of_early_stopping
from weckd_edge.pipeline.context import choose_profile, start
from weckd_edge.pipeline.request import BuildRequest
from weckd_edge.pipeline.steps import abstain as step
from weckd_edge.pipeline.steps import exam as exam_step
from weckd_edge.pipeline.steps.abstain import AbstentionInputs, evaluate_abstention, evaluate_threshold
from weckd_edge.pipeline.steps.guard import make_guard
from weckd_edge.pipeline.steps.predict import HeldOutFrames
from weckd_edge.report.chapters import abstention
from weckd_edge.report.chapters.exams import exam_sentences
from weckd_edge.train.input_guard.ood_frames import ood_stamps

FRAME = FrameSpec(height=24, width=24, crop="center", resize="bilinear")


@pytest.fixture
def index(tmp_path: Path) -> DatasetIndex:
    """Ninety textured frames, bright ones of one class and darker ones of another."""
    records = []
    for number in range(90):
        random = np.random.default_rng(number)
        frame = random.normal(90 + 60 * (number % 2), 18, (24, 24, 1)) + random.normal(0, 6, 3)
        path = f"{number:02d}.png"
        Image.fromarray(np.clip(frame, 0, 255).astype(np.uint8)).save(tmp_path / path)
        records.append(
            factories.image(
                path,
                label=number % 2,
                group=f"g{number}",
                split="train" if number < 40 else "val" if number < 70 else "test",
                width=24,
                height=24,
            )
        )
    return DatasetIndex(name="toy", labels=("dim", "light"), images=tuple(records))


def answer(frame: np.ndarray) -> np.ndarray:
    """Tell light frames from dim ones, ever right."""
    light = float(1 / (1 + np.exp(-(frame.mean() - 120) / 5)))
    return np.array([1 - light, light], np.float32)


def held_out(index: DatasetIndex, root: Path) -> HeldOutFrames:
    val, test = (
        decode_split(Workspace(root / "work"), index, split, root, FRAME, SilentProgress()) for split in ("val", "test")
    )
    return HeldOutFrames(val=val, test=test)


def inputs(index: DatasetIndex, root: Path, config: BuildConfig) -> AbstentionInputs:
    frames = held_out(index, root)
    predictions = tuple(
        Prediction(
            path=r.path, group=r.group, label=r.label, fp32=(0.1, 0.9), compiled=(0.1, 0.9) if r.label else (0.8, 0.2)
        )
        for r in frames.test.records
    )
    return AbstentionInputs(
        frames=frames,
        labels=index.labels,
        synthetic=index.synthetic,
        spec=FRAME,
        config=config,
        validation=np.stack([answer(frame) for frame in frames.val]),
        predictions=predictions,
        predict=answer,
    )


def record(index: DatasetIndex, root: Path, **guard: object) -> GuardRecord:
    config = GuardConfig(**guard)  # type: ignore[arg-type]
    return make_guard(
        index.split("train"), root, held_out(index, root).val, FRAME, config, seed=0, progress=SilentProgress()
    )


def test_a_build_refuses_other_frames_and_says_what_its_threshold_does(index: DatasetIndex, tmp_path: Path) -> None:
    config = BuildConfig(
        abstain=AbstainConfig(max_group_error=0.2), guard=GuardConfig(non_gradeable_labels=("dim",), false_reject_rate=0.02)
    )
    fitted = record(index, tmp_path, false_reject_rate=0.02)
    assert fitted.groups == 70
    found = evaluate_abstention(inputs(index, tmp_path, config), fitted, SilentProgress())
    kinds = {kind.name: kind for kind in found.ood_sets}
    assert {"noise", "one grey", "covered lens", "synthetic images", "heavy blur"} <= set(kinds)
    assert kinds["noise"].guard_auroc > 0.95
    assert kinds["covered lens"].reject_rate == 1
    assert found.coverage.value <= 0.5  # the other half is of a refused label
    assert found.selective_error is not None
    assert found.selective_error.value == 0
    assert found.aurc == 0
    assert found.threshold is not None
    assert found.threshold.val_groups == 30
    assert found.guard.guard is None  # its numbers are in a file of their own
    assert from_json(type(found), to_json(found), where="x", error=ValueError) == found  # type: ignore[type-var]
    told = " ".join(abstention.abstention_sentences(found))
    assert "no decision: dim." in told
    assert len(abstention.kind_rows(found)) == len(found.ood_sets)
    assert "% get a decision" in abstention.brief_sentence(found)


class Deployed:
    """The deployed model, which is ever right; it counts how often it is opened."""

    name, opened = "toy", 0

    def digest(self) -> str:
        return "toy"

    def open(self) -> Any:
        self.opened += 1
        return SimpleNamespace(run=answer, close=lambda: None)


@pytest.fixture
def table_made_again(
    index: DatasetIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[DatasetIndex], tuple[bool, Abstention]]:
    """Run the step on a data set; return whether it was made anew, and what it found."""
    others = tmp_path / "others"
    others.mkdir()
    Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(others / "lens.png")
    config = BuildConfig(abstain=AbstainConfig(max_group_error=0.3), guard=GuardConfig(ood_dirs=(str(others),)))
    request = BuildRequest(data=tmp_path, target="cpu", device=None, out=tmp_path / "out", config=config)
    ctx = start(request, choose_profile("cpu", None), Workspace(tmp_path / "work"), SilentProgress())
    monkeypatch.setattr(step, "predict_validation", lambda ctx, student, images: np.stack([answer(one) for one in images]))
    deployed = Deployed()
    student: Any = SimpleNamespace(deployed=deployed, input=SimpleNamespace(frame=FRAME), recalibration=None)
    predictions = inputs(index, tmp_path, config).predictions
    verification = factories.verification(predictions, index.labels)

    def staged(artifact: Any) -> Stage[Any]:
        return Stage(name="made", artifact=artifact, folder=tmp_path, seconds=0.0, reused=False)

    guard = staged(record(index, tmp_path))

    def run(given: DatasetIndex) -> tuple[bool, Abstention]:
        before = deployed.opened
        found = step.abstain(ctx, student, staged(verification), guard, held_out(given, tmp_path), given)
        return deployed.opened > before, found

    return run


def test_what_is_found_of_abstention_is_found_anew_where_its_images_have_changed(
    index: DatasetIndex, tmp_path: Path, table_made_again: Callable[[DatasetIndex], tuple[bool, Abstention]]
) -> None:
    def relabelled(split: str, **changes: Any) -> DatasetIndex:
        return replace(index, images=tuple(replace(one, **changes) if one.split == split else one for one in index.images))

    assert table_made_again(index)[0]
    assert not table_made_again(index)[0]
    made, found = table_made_again(relabelled("val", label=0))
    assert made
    assert found.threshold is not None
    assert found.threshold.val_group_error > 0
    assert table_made_again(relabelled("val", group="one"))[0]
    made, found = table_made_again(replace(index, synthetic=True))
    assert (made, "synthetic images" in {kind.name for kind in found.ood_sets}) == (True, False)
    assert table_made_again(replace(index, labels=("faint", "light")))[0]
    Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(tmp_path / "others/second.png")
    made, found = table_made_again(index)
    assert made
    assert {kind.name: kind.frames for kind in found.ood_sets}["others"] == 2


def test_folders_of_other_frames_are_known_by_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "others"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    before = ood_stamps([str(folder)])
    assert [[path for path, _, _ in files] for files in before] == [["others/a.png", "others/b.png"]]
    assert ood_stamps([str(folder)]) == before
    Image.new("RGB", (9, 9)).save(folder / "b.png")
    assert ood_stamps([str(folder)]) != before
    with raises(DataError, "E_DATA_SOURCE"):
        ood_stamps([str(tmp_path / "gone")])


def test_too_few_validation_groups_fail_or_are_reported_as_asked(index: DatasetIndex, tmp_path: Path) -> None:
    config = BuildConfig(abstain=AbstainConfig(max_group_error=0.05))
    found = evaluate_abstention(inputs(index, tmp_path, config), record(index, tmp_path), SilentProgress())
    assert found.threshold is not None
    assert (
        found.threshold.confidence_threshold,
        found.threshold.more_groups,
        found.operating_point.confidence_threshold,
    ) == (None, 29, 0.0)
    (gate,) = evaluate_threshold(found.threshold, config.abstain)
    assert gate.verdict == "FAIL"
    assert "29 more groups" in gate.reason
    (gate,) = evaluate_threshold(found.threshold, AbstainConfig(max_group_error=0.05, on_failure="report"))
    assert gate.verdict == "INCONCLUSIVE"


def test_a_met_risk_passes_and_nothing_is_evaluated_where_none_is_asked(index: DatasetIndex, tmp_path: Path) -> None:
    config = BuildConfig(abstain=AbstainConfig(max_group_error=0.2))
    found = evaluate_abstention(inputs(index, tmp_path, config), record(index, tmp_path, enabled=False), SilentProgress())
    assert found.rejected_test is None
    assert found.ood_sets == ()
    assert found.threshold is not None
    (gate,) = evaluate_threshold(found.threshold, config.abstain)
    assert (gate.verdict, found.threshold.confidence_threshold) == ("PASS", 0.0)
    assert evaluate_threshold(None, config.abstain) == ()


class Warnings(SilentProgress):
    """Progress that keeps what it is warned of."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(
    ("config", "warned"),
    [
        (BuildConfig(train=TrainConfig(patience=3), abstain=AbstainConfig(max_group_error=0.1)), True),
        (BuildConfig(train=TrainConfig(patience=3), exam=ExamConfig(max_group_error=0.1)), True),
        (BuildConfig(train=TrainConfig(patience=3)), False),
        (BuildConfig(abstain=AbstainConfig(max_group_error=0.1)), False),
        (BuildConfig(train=TrainConfig(patience=3), abstain=AbstainConfig(max_group_error=0.1), link=()), False),
    ],
)
def test_a_threshold_that_early_stopping_shares_its_images_with_is_warned_of(config: BuildConfig, warned: bool) -> None:
    progress = Warnings()
    warn_of_early_stopping(config, progress)
    assert bool(progress.said) == warned
    assert all("train.patience" in text and "max_group_error" in text for text in progress.said)


@pytest.mark.parametrize("patience", [0, 3])
def test_the_record_and_the_report_say_that_early_stopping_used_the_same_images(
    index: DatasetIndex, tmp_path: Path, patience: int
) -> None:
    config = BuildConfig(train=TrainConfig(patience=patience), abstain=AbstainConfig(max_group_error=0.2))
    found = evaluate_abstention(inputs(index, tmp_path, config), record(index, tmp_path, enabled=False), SilentProgress())
    assert found.threshold is not None
    assert found.threshold.epoch_from_validation == bool(patience)
    assert any("early stopping" in text for text in abstention.abstention_sentences(found)) == bool(patience)


@pytest.mark.parametrize("patience", [0, 3])
def test_the_threshold_of_examinations_says_the_same(
    index: DatasetIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    config = BuildConfig(train=TrainConfig(patience=patience), abstain=AbstainConfig(max_group_error=0.2))
    given = inputs(index, tmp_path, config)
    ctx = SimpleNamespace(
        config=config,
        progress=SilentProgress(),
        processor=("Xeon", "avx2"),
        step=lambda name, kind, key, make: SimpleNamespace(artifact=make(tmp_path)),
    )
    student = SimpleNamespace(
        deployed=SimpleNamespace(name="toy", digest=lambda: "0"), recalibration=None, input=SimpleNamespace(frame=FRAME)
    )
    monkeypatch.setattr(exam_step, "predict_validation", lambda *_: given.validation)
    verification = factories.verification(given.predictions, index.labels)
    staged = (
        Stage(name="", artifact=one, folder=tmp_path, seconds=0.0, reused=False)
        for one in (verification, record(index, tmp_path, enabled=False))
    )
    found = exam_step.exam(ctx, student, *staged, given.frames, index, OperatingPoint())  # type: ignore[arg-type]
    assert found.choice.threshold is not None
    assert found.choice.threshold.confidence_threshold is not None
    assert found.choice.threshold.epoch_from_validation == bool(patience)
    assert any("early stopping" in text for text in exam_sentences(found)) == bool(patience)
