"""What changed between two bundles: by digests, in pairs, and with what an older bundle does not tell said."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from support import factories
from support.errors import raises
from weckd_edge.artifacts import DatasetIndex, ImageRecord, Prediction, Split, UnlabelledImage, Verification
from weckd_edge.bundle.files import BundleFolder
from weckd_edge.bundle.reader import open_any_bundle
from weckd_edge.bundle.writer import seal
from weckd_edge.cli.report import command
from weckd_edge.core.errors import BundleError, ConfigError
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import file_ref, sha256_bytes
from weckd_edge.report.diff import compare_bundles
from weckd_edge.report.diff.bundle_pair import BundleSide
from weckd_edge.report.diff.dataset import compare_data
from weckd_edge.report.diff.fields import MODEL, compare_fields, flatten
from weckd_edge.report.diff.results import compare_results
from weckd_edge.report.diff.rows import change_text

pytest.importorskip("scipy")
LABELS = ("ear", "wax")


def record(number: int, split: Split = "test", *, group: str | None = None, label: int | None = None) -> ImageRecord:
    return factories.image(
        f"{number:03}.png",
        label=number % 2 if label is None else label,
        group=group or f"g{number // 2:03}",
        split=split,
        sha256=hashlib.sha256(b"f%d" % number).hexdigest(),
        pixels_sha256=hashlib.sha256(b"p%d" % number).hexdigest(),
        width=8,
        height=8,
    )


def index(records: Sequence[ImageRecord], labels: tuple[str, ...] = LABELS, **more: Any) -> DatasetIndex:
    return DatasetIndex(name="ears", labels=labels, images=tuple(records), **more)


def verification(data: DatasetIndex, wrong: Sequence[int] = ()) -> Verification:
    """Return answers to the test images that are right but for those with these numbers."""
    predictions = []
    for image in data.images:
        if image.split == "test":
            decided = (image.label + (int(image.path[:3]) in wrong)) % len(data.labels)
            answer = tuple(0.8 if k == decided else 0.2 / (len(data.labels) - 1) for k in range(len(data.labels)))
            predictions.append(
                Prediction(path=image.path, group=image.group, label=image.label, fp32=answer, compiled=answer)
            )
    return factories.verification(predictions, data.labels)


def side(data: DatasetIndex, wrong: Sequence[int] = (), **point: Any) -> BundleSide:
    return BundleSide(manifest={"operating_point": point}, dataset=data, verification=verification(data, wrong))


def test_images_are_known_by_their_pixels_and_a_leak_between_versions_is_named() -> None:
    old = index([record(n, ("train", "test")[n // 2 % 2]) for n in range(8)])  # 2, 3, 6, 7 are tested
    pool = UnlabelledImage(path="pool/7.png", sha256="", pixels_sha256=record(7).pixels_sha256)
    changed = [
        dataclasses.replace(record(0, "train"), path="renamed.png"),
        record(1, "train", label=0),
        record(2, "train"),
        record(3, "val"),
        record(6, "test", group="other"),
        record(9, "train", group="other"),
    ]
    found = compare_data(old, index(changed, unlabelled=(pool,)))
    assert (found.old_images, found.new_images, found.common, found.renamed) == (8, 6, 5, 1)
    assert [one.path for one in found.added] == ["009.png"]
    assert [one.path for one in found.removed] == ["004.png", "005.png", "pool/7.png"]
    assert [(one.path, one.old_label, one.new_label) for one in found.relabelled] == [("001.png", "wax", "ear")]
    assert [(one.path, one.new_split) for one in found.entered_training] == [
        ("002.png", "train"),
        ("pool/7.png", "unlabelled"),
    ]
    assert [one.path for one in found.entered_validation] == ["003.png"]
    assert found.grouped_with_training == 2, "3 lies in a group with 2, and 6 with 9"
    assert [(one.old_split, one.new_split) for one in found.moved] == [("test", "train"), ("test", "val")]


def test_the_same_data_set_has_not_changed() -> None:
    found = compare_data(index([record(n) for n in range(6)]), index([record(n) for n in range(6)]))
    assert not any((found.added, found.removed, found.moved, found.relabelled, found.renamed, found.regrouped))


def test_results_are_paired_on_the_test_images_of_both() -> None:
    old = side(index([record(n) for n in range(60)]), wrong=(0, 10, 20, 30, 40))
    new = side(index([record(n) for n in range(20, 80)]), wrong=(20, 21))
    found, why = compare_results(old, new)
    assert why == ""
    assert found is not None
    assert (found.images, found.groups, found.tied) == (40, 20, 0)
    assert found.old.accuracy.value == pytest.approx(37 / 40)
    assert found.new.accuracy.value == pytest.approx(38 / 40)
    apart = found.difference.accuracy
    assert apart is not None
    assert apart.value == pytest.approx(1 / 40)
    assert apart.low < 0 < apart.high
    assert (found.flips.total.better, found.flips.total.worse) == (2, 1)
    assert found.flips.mcnemar_p == 1.0
    assert found.difference.sensitivity[0] is not None
    assert found.difference.sensitivity[0].value == pytest.approx(2 / 20)
    assert found.specificity[1] is not None
    assert found.specificity[1].value == pytest.approx(2 / 20)


def test_a_real_difference_is_seen_and_groups_widen_the_interval() -> None:
    wrong = tuple(range(40))
    single = [record(n, group=f"s{n}") for n in range(100)]
    large = [record(n, group=f"l{n // 10}") for n in range(100)]
    widths = []
    for records in (single, large):
        found, _ = compare_results(side(index(records), wrong=wrong), side(index(records)))
        assert found is not None
        apart = found.difference.accuracy
        assert apart is not None
        assert apart.value == pytest.approx(0.4)
        assert found.flips.mcnemar_p < 1e-6
        widths.append(apart.high - apart.low)
    assert widths[1] > 1.5 * widths[0]


def test_the_order_of_labels_does_not_matter_and_other_labels_are_reported() -> None:
    old = index([record(n) for n in range(40)])
    turned = index([record(n, label=1 - n % 2) for n in range(40)], labels=("wax", "ear"))
    found, _ = compare_results(side(old), side(turned))
    assert found is not None
    assert (found.images, found.new.accuracy.value, found.relabelled) == (40, 1.0, 0)
    more = index([record(n, label=n % 3) for n in range(40)], labels=("ear", "wax", "tube"))
    found, _ = compare_results(side(old), side(more))
    assert found is not None
    assert found.foreign == 13
    assert found.images + found.relabelled == 27
    assert any("only new: tube" in note for note in found.notes)


def test_what_a_threshold_refuses_is_compared_as_a_share() -> None:
    data = index([record(n) for n in range(40)])
    found, _ = compare_results(side(data), side(data, confidence_threshold=0.9))
    assert found is not None
    assert (found.old_coverage.value, found.new_coverage.value) == (1.0, 0.0)
    found, _ = compare_results(side(data, non_gradeable_labels=["wax"]), side(data))
    assert found is not None
    assert (found.old_coverage.value, found.new_coverage.value) == (0.5, 1.0)


def test_without_a_common_test_image_nothing_is_compared_and_why_is_reported() -> None:
    found, why = compare_results(side(index([record(n) for n in range(4)])), side(index([record(n) for n in range(4, 8)])))
    assert found is None
    assert "no test image with the same label in common" in why


def test_an_image_that_one_version_groups_with_its_training_is_counted() -> None:
    old = index([record(n) for n in range(40)])
    new = index([*(record(n) for n in range(40)), record(99, "train", group="g000")])
    found, _ = compare_results(side(old), side(new))
    assert found is not None
    assert found.tied == 2
    assert any("favours that bundle" in note for note in found.notes)


def test_another_temperature_is_a_change_of_the_model() -> None:
    check = {"recalibration": {"temperature": 1.5}, "before": {}, "after": {}}
    again = {**check, "recalibration": {"temperature": 2.25}}
    sides = [BundleSide(manifest={}, verification_data={"calibration": one}) for one in (check, again)]
    changed, _ = compare_fields(*sides, {"temperature": MODEL["temperature"]})
    assert [(one.what, one.old, one.new) for one in changed] == [("temperature", "1.5", "2.25")]


def test_tables_are_flattened_by_name() -> None:
    data = {"a": {"b": 1, "c": [1, 2]}, "link": [{"model": "x"}, {"model": None}], "d": True}
    assert dict(flatten(data)) == {"a.b": "1", "a.c": "[1, 2]", "link.1.model": "x", "link.2.model": "none", "d": "true"}


def write_bundle(folder: Path, data: DatasetIndex, wrong: Sequence[int] = (), config: Any = None, **manifest: Any) -> Path:
    """Write a sealed bundle with the evidence that a comparison reads."""
    from weckd_edge.artifacts import FileRef, FrameSpec, GoldenFrames, InputSpec, NetworkInput

    (folder / "evidence").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "evidence/dataset_index.json").write_text(to_json(data))
    (folder / "evidence/verification.json").write_text(to_json(verification(data, wrong)))
    (folder / "evidence/build.json").write_text(json.dumps({"config": json.dumps(config or {"seed": 0})}))
    onnx: FileRef = file_ref(folder, folder / "model.onnx")
    frame = InputSpec(
        frame=FrameSpec(height=8, width=8, crop="center"),
        network=NetworkInput(height=8, width=8, mean=(0.5,) * 3, std=(0.5,) * 3),
    )
    draft = factories.manifest(
        name="ears",
        labels=data.labels,
        input=frame,
        output_name="p",
        onnx=onnx,
        selftest=GoldenFrames(frames=onnx, reference="x"),
    )
    seal(folder, dataclasses.replace(draft, **manifest))
    return folder


def as_older(folder: Path) -> None:
    """Rewrite a bundle's manifest without a key that this version needs, and with one that it does not know."""
    data = json.loads((folder / "manifest.json").read_text())
    del data["network_input_name"]
    data |= {"of_old": 1, "manifest_sha256": "0" * 64}
    digest = sha256_bytes((json.dumps(data, indent=1, sort_keys=True) + "\n").encode())
    text = json.dumps(data | {"manifest_sha256": digest}, indent=1, sort_keys=True) + "\n"
    (folder / "manifest.json").write_text(text)


def test_settings_thresholds_and_results_of_two_bundles_are_compared(tmp_path: Path) -> None:
    from weckd_edge.artifacts import ExamRule, Gate, OperatingPoint

    data = index([record(n) for n in range(40)])
    config = {"seed": 1, "gates": {"min_accuracy": 0.9}}
    gate = Gate(name="min_accuracy", limit=0.9, value=1.0, verdict="PASS", reason="")
    old = write_bundle(tmp_path / "old", data, wrong=(1, 2, 3))
    new = write_bundle(
        tmp_path / "new",
        data,
        config=config,
        gates=(gate,),
        operating_point=OperatingPoint(confidence_threshold=0.5),
        exam=ExamRule(min_frames=2),
        version=2,
    )
    found = compare_bundles(old, new)
    assert [(c.what, c.old, c.new) for c in found.settings] == [("seed", "0", "1")]
    assert {c.what: (c.old, c.new) for c in found.thresholds} == {
        "operating_point.confidence_threshold": ("0.0", "0.5"),
        "exam.min_frames": ("1", "2"),
        "gates.min_accuracy": (None, "0.9"),
        "gate min_accuracy": (None, "0.9"),
        "gate min_accuracy, verdict": (None, "PASS"),
    }
    assert found.own_results[0].what == "accuracy, as deployed"
    assert found.own_results[0].new is not None
    assert found.own_results[0].new.startswith("1.0000 (")
    assert found.results is not None
    assert found.results.flips.total.better == 3
    assert found.model == ()
    text = change_text(found)
    assert "version 2" in text.title
    assert text.warnings == ()
    assert "makes no claim of compliance" in text.purpose


def test_a_comparison_reads_and_hashes_the_model_of_each_bundle_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = index([record(n) for n in range(40)])
    old, new = write_bundle(tmp_path / "old", data), write_bundle(tmp_path / "new", data)
    proved: list[tuple[str, str]] = []
    prove = BundleFolder.prove

    def count(self: BundleFolder, path: str, size: int, sha256: str, *, keep: bool) -> bytes:
        proved.append((self.folder.name, path))
        return prove(self, path, size, sha256, keep=keep)

    monkeypatch.setattr(BundleFolder, "prove", count)
    compare_bundles(old, new)
    assert sorted(one for one in proved if one[1] == "model.onnx") == [("new", "model.onnx"), ("old", "model.onnx")]


def test_a_bundle_of_an_older_format_is_compared_as_far_as_it_goes(tmp_path: Path) -> None:
    data = index([record(n) for n in range(40)])
    old, new = write_bundle(tmp_path / "old", data), write_bundle(tmp_path / "new", data)
    as_older(old)
    found = compare_bundles(old, new)
    assert any("manifest of the old bundle is of another format" in line for line in found.unknown)
    assert found.results is not None
    assert found.data is not None
    (old / "evidence/verification.json").write_text('{"schema_version": 0}')
    with raises(BundleError, "E_BUNDLE_DIGEST"):
        compare_bundles(old, new)


def test_predictions_in_another_format_leave_results_unknown(tmp_path: Path) -> None:
    data = index([record(n) for n in range(40)])
    old, new = tmp_path / "old", write_bundle(tmp_path / "new", data)
    write_bundle(old, data)
    (old / "evidence/verification.json").write_text('{"schema_version": 0}')
    (old / "evidence/dataset_index.json").unlink()
    manifest = open_any_bundle(new).data
    from weckd_edge.artifacts import Manifest
    from weckd_edge.core.serialization import from_data

    seal(old, from_data(Manifest, manifest))
    found = compare_bundles(old, new)
    assert found.results is None
    assert found.data is None
    assert any(line.startswith("verification.json of the old bundle is of another format") for line in found.unknown)
    assert "the old bundle has no dataset_index.json" in found.unknown
    titles = [section.title for section in change_text(found).sections]
    assert titles[-1] == "Not compared"


@pytest.mark.parametrize("harm", ["added", "changed", "missing", "manifest"])
def test_a_bundle_that_was_changed_is_not_compared(harm: str, tmp_path: Path) -> None:
    data = index([record(n) for n in range(8)])
    old, new = write_bundle(tmp_path / "old", data), write_bundle(tmp_path / "new", data)
    if harm == "added":
        (old / "evidence/abstention.json").write_text("{}")
    elif harm == "changed":
        (old / "model.onnx").write_bytes(b"GRAPH")
    elif harm == "missing":
        (old / "model.onnx").unlink()
    else:
        text = (old / "manifest.json").read_text()
        (old / "manifest.json").write_text(text.replace('"generic-x86"', '"generic-arm64"'))
    with pytest.raises(BundleError):
        compare_bundles(old, new)


def test_the_command_names_the_leak_in_the_terminal_in_json_and_in_markdown(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    old = write_bundle(tmp_path / "old", index([record(n) for n in range(40)]))
    used = [record(n, "train" if n < 2 else "test") for n in range(40)]
    new = write_bundle(tmp_path / "new", index(used))
    line = [str(new), "--baseline", str(old)]
    done = CliRunner().invoke(command, [*line, "--out", str(tmp_path / "log.md")], catch_exceptions=False)
    assert done.exit_code == 0
    for text in (done.stdout, (tmp_path / "log.md").read_text()):
        assert "A leak between versions: 2 test images of the old bundle are used in training by the new one" in text
        assert "000.png" in text
    told = json.loads(CliRunner().invoke(command, [*line, "--json"]).stdout)
    assert [one["path"] for one in told["change"]["data"]["entered_training"]] == ["000.png", "001.png"]
    assert told["change"]["results"]["images"] == 38
    done = CliRunner().invoke(command, [str(new), "--out", str(tmp_path / "log.md")])
    assert isinstance(done.exception, ConfigError)
    done = CliRunner().invoke(command, [*line, "--out", str(old / "log.md")])
    assert isinstance(done.exception, ConfigError)
    assert "sealed bundle" in str(done.exception)


def test_results_of_examinations_stand_beside_those_of_images_and_few_have_no_interval() -> None:
    from weckd_edge.report.diff.fields import OWN_RESULTS, compare_fields

    def with_exams(value: float, low: float | None) -> BundleSide:
        figure = {"value": value, "low": low, "high": None if low is None else 1.0, "images": 9, "groups": 8}
        return dataclasses.replace(
            side(index([record(0)])), verification_data={}, exams={"accuracy": figure, "decided": figure}
        )

    changed, unknown = compare_fields(with_exams(0.5, None), with_exams(0.75, 0.25), OWN_RESULTS)
    assert unknown == ()
    found = {one.what: (one.old, one.new) for one in changed}
    assert found["accuracy of examinations"] == (
        "0.5000 (no interval; 9 examinations in 8 groups)",
        "0.7500 (0.2500 to 1.0000; 9 examinations in 8 groups)",
    )
