"""Sets of pictures whose right answer is known: what each probe must say of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from support.errors import raises
from weckd_edge.artifacts import DataAudit, FrameSpec, InputSpec, NetworkInput
from weckd_edge.config import AuditConfig, BuildConfig, DataConfig, LinkConfig, TrainConfig
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.core.store import Workspace
from weckd_edge.devices.images.split_frames import decode_split
from weckd_edge.report.chapters.audit import audit_sections, folds_sentence, masking_finding
from weckd_edge.train.audit.classifier.cross_validation import group_folds, image_folds
from weckd_edge.train.audit.classifier.linear_classifier import Ridge
from weckd_edge.train.audit.classifier.scores import auc
from weckd_edge.train.audit.embeddings import choose_embedder
from weckd_edge.train.audit.features import Mask
from weckd_edge.train.audit.label_errors import find_suspects
from weckd_edge.train.audit.masking.masks import disc
from weckd_edge.train.audit.masking.occlusion import DeployedNetwork, predict_occluded
from weckd_edge.train.audit.run import audit_folder, check_audit_settings, run_audit
from weckd_edge.train.audit.sample import number_groups, sample_groups
from weckd_edge.train.distill.linear_probe import ridge
from weckd_edge.train.networks.models import create_student

SIDE = 40
LINKS = (LinkConfig(model="test_resnet", input_size=32), LinkConfig(model="test_resnet", input_size=32))
NAMES = ("even", "odd")

Pixels = NDArray[np.uint8]
Row = dict[str, str]


def config(**probes: object) -> BuildConfig:
    values = {"discs": (0.7,), **probes}
    return BuildConfig(
        link=LINKS,
        data=DataConfig(labelled_fraction=0.2, near_duplicate_distance=None),
        train=TrainConfig(threads=1),
        audit=AuditConfig(**values),  # type: ignore[arg-type]
    )


def noise(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(60, 160, (SIDE, SIDE, 3)).astype(np.uint8)


def ring() -> NDArray[np.bool_]:
    axis = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    return np.hypot(axis[:, None], axis[None, :]) > 0.8


def write(root: Path, rows: Iterable[tuple[Pixels, Row]], suffix: str = ".png", **saving: object) -> Path:
    """Write pictures and their CSV; a row holds label, group and whatever columns are wanted."""
    listed = []
    for number, (pixels, row) in enumerate(rows):
        name = f"{row['label']}/{number:03d}{suffix}"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        options = {"quality": int(row["quality"])} if "quality" in row else {}
        Image.fromarray(pixels).save(root / name, **options)
        listed.append({"path": name, **row})
    with (root / "set.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)
    return root / "set.csv"


def told_by(where: NDArray[np.bool_], count: int = 80) -> Iterable[tuple[Pixels, Row]]:
    """Draw pictures that are brighter at one place where the label is odd; two pictures a group."""
    for i in range(count):
        pixels = noise(i)
        label = i // 2 % 2
        pixels[where] += np.uint8(60 * label)
        yield pixels, {"label": NAMES[label], "group": f"g{i // 2}"}


def run(path: Path, settings: BuildConfig | None = None) -> DataAudit:
    return audit_folder(path, settings or config(), SilentProgress())


def test_a_label_in_the_border_alone_is_reported_by_the_surroundings(tmp_path: Path) -> None:
    found = run(write(tmp_path, told_by(ring()))).masking
    assert found is not None
    whole, surroundings, centre = found.rows
    assert whole.accuracy.value > 0.95
    assert surroundings.accuracy.value > 0.95
    assert centre.accuracy.low < found.majority
    assert "The surroundings predict the label and the centre does not" in masking_finding(found).text


def test_a_label_in_the_centre_alone_is_not_predicted_by_the_surroundings(tmp_path: Path) -> None:
    found = run(write(tmp_path, told_by(disc_of(0.4)))).masking
    assert found is not None
    _, surroundings, centre = found.rows
    assert surroundings.accuracy.low <= found.majority
    assert centre.accuracy.value > 0.95
    assert "The surroundings do not predict the label" in masking_finding(found).text
    assert 0.55 < surroundings.visible < 0.68  # a disc of 0.7 of the side takes 38 % of the picture


def test_where_nothing_tells_the_label_the_masks_say_nothing(tmp_path: Path) -> None:
    found = run(write(tmp_path, told_by(np.zeros((SIDE, SIDE), np.bool_)))).masking
    assert found is not None
    assert masking_finding(found).text.startswith("Inconclusive")


def disc_of(part: float) -> NDArray[np.bool_]:
    return disc(input_spec().frame, part)


def input_spec() -> InputSpec:
    return InputSpec(
        frame=FrameSpec(height=SIDE, width=SIDE, crop="center"),
        network=NetworkInput(height=32, width=32, mean=(0.5,) * 3, std=(0.5,) * 3),
    )


def test_frames_of_one_video_flatter_by_random_folds_and_single_frames_do_not(tmp_path: Path) -> None:
    def frames(each: int) -> Iterable[tuple[Pixels, Row]]:
        for i in range(96):
            video = i // each
            pixels = noise(1000 + video) + np.random.default_rng(i).integers(0, 4, (SIDE, SIDE, 3)).astype(np.uint8)
            yield pixels, {"label": NAMES[video % 2], "group": f"v{video}"}

    films, singles = run(write(tmp_path / "films", frames(4))).folds, run(write(tmp_path / "singles", frames(1))).folds
    assert films is not None
    assert singles is not None
    assert films.optimism.value > 0.3
    assert films.optimism.low > 0.1
    assert "would overestimate the accuracy by" in folds_sentence(films)
    assert singles.optimism.low < 0 < singles.optimism.high
    assert "No overestimation" in folds_sentence(singles)


def sites() -> Iterable[tuple[Pixels, Row]]:
    """Draw three sites: at two of them the left half tells the label, at the third the right; a fourth has one class."""
    for i in range(120):
        site = "abc"[i % 3]
        pixels, label = noise(i), i // 3 % 2
        half = slice(0, SIDE // 2) if site != "c" else slice(SIDE // 2, SIDE)
        pixels[:, half] += np.uint8(60 * label)
        yield pixels, {"label": NAMES[label], "group": f"g{i}", "site": site}
    for i in range(6):
        yield noise(500 + i), {"label": "even", "group": f"d{i}", "site": "d"}


def test_a_site_that_reads_otherwise_is_classified_badly_when_left_out(tmp_path: Path) -> None:
    found = run(write(tmp_path, sites())).sources
    assert found is not None
    assert found.column == "site"
    by_name = {source.source: source for source in found.sources}
    assert list(by_name) == ["a", "b", "c", "d"]
    assert by_name["a"].left_out is not None
    assert by_name["a"].left_out.value > 0.9
    shifted = by_name["c"]
    assert shifted.left_out is not None
    assert shifted.seen is not None
    assert shifted.left_out.value < 0.7 < 0.9 < shifted.seen.value
    assert by_name["d"].auc is None
    assert "one class alone" in by_name["d"].note


def test_a_class_that_no_other_source_holds_is_reported(tmp_path: Path) -> None:
    rows = [(noise(i), {"label": NAMES[i % 2], "group": f"g{i}", "source": NAMES[i % 2]}) for i in range(24)]
    found = run(write(tmp_path, rows))
    assert found.sources is not None
    assert all("fewer than two classes" in source.note and source.left_out is None for source in found.sources.sources)
    shortcut = next(f for f in found.fingerprints if f.name == "source")
    assert shortcut.accuracy.value == 1.0


def test_without_a_source_column_the_finding_is_unknown(tmp_path: Path) -> None:
    found = run(write(tmp_path, told_by(ring(), 40)))
    assert found.sources is None
    assert any(section.finding.startswith("Not known") for section in audit_sections(found))


def test_flipped_labels_are_found_and_few_others(tmp_path: Path) -> None:
    rows = list(told_by(ring(), 160))
    flipped = {7, 40, 41, 90, 111, 138}
    for i in flipped:
        rows[i][1]["label"] = NAMES[1 - NAMES.index(rows[i][1]["label"])]
    found = run(write(tmp_path, rows)).label_issues
    assert found is not None
    numbers = {int(Path(suspect.path).stem) for suspect in found.label_issues}
    assert flipped <= numbers
    assert len(numbers - flipped) <= 2
    assert found.found == len(found.label_issues)
    assert all(suspect.label != suspect.predicted_label for suspect in found.label_issues)


def test_the_surest_contradiction_comes_first() -> None:
    scores = np.array([[0.9, 0.1]] * 10 + [[0.3, 0.7]] * 10 + [[0.2, 0.8], [0.0, 1.0]])
    labels = np.array([0] * 10 + [1] * 10 + [0, 0])
    found = find_suspects(scores, labels, [f"{i}" for i in range(22)], NAMES)
    assert [suspect.path for suspect in found.label_issues] == ["21", "20"]


def test_the_quality_of_a_jpeg_that_goes_with_the_label_is_found(tmp_path: Path) -> None:
    rows = [(noise(i), {"label": NAMES[i % 2], "group": f"g{i}", "quality": "60" if i % 2 else "90"}) for i in range(60)]
    found = {f.name: f for f in run(write(tmp_path, rows, ".jpg")).fingerprints}
    assert set(found) == {"size", "compression", "bytes", "colour", "border"}
    assert found["compression"].accuracy.value == 1.0
    assert found["size"].accuracy.low <= 0.5


def test_copies_across_the_published_split_are_counted_and_a_split_of_ours_has_none(tmp_path: Path) -> None:
    rows = []
    for i in range(60):
        rows.append((noise(i), {"label": NAMES[i % 2], "group": "", "split": "train" if i < 40 else "test"}))
    rows[50] = (noise(10), rows[50][1])
    rows[52] = (noise(12), rows[52][1])
    own = replace(config(), data=replace(config().data, use_published_split=False))
    found = run(write(tmp_path, rows), own)
    assert found.published is not None
    assert (found.published.held_out, found.published.copies, found.published.grouped) == (20, 2, 2)
    assert {Path(pair.held_out).stem for pair in found.published.pairs if pair.how == "pixels"} == {"050", "052"}
    assert found.this_split is not None
    assert (found.this_split.copies, found.this_split.near, found.this_split.grouped) == (0, 0, 0)
    assert any(pair.how == "features" for pair in found.this_split.pairs)


def test_what_a_missing_group_column_costs_is_reported(tmp_path: Path) -> None:
    rows = [(pixels, {"label": row["label"]}) for pixels, row in told_by(ring(), 40)]
    assert any("no group column" in note for note in run(write(tmp_path, rows)).notes)


def test_a_class_with_two_groups_is_audited_and_one_with_a_single_group_left_out(tmp_path: Path) -> None:
    rows = [
        *told_by(ring(), 40),
        *((noise(900 + i), {"label": "rare", "group": f"r{i % 2}"}) for i in range(6)),
        *((noise(950 + i), {"label": "single", "group": "s"}) for i in range(6)),
    ]
    found = run(write(tmp_path, rows))
    assert found.images == 46
    assert any("class 'rare' has 2 groups" in note for note in found.notes)
    assert any("class 'single' has one group alone" in note for note in found.notes)
    assert any(note.startswith("no split was made") for note in found.notes)
    assert found.this_split is None
    assert found.folds is not None
    assert found.label_issues is not None


def test_where_no_folds_can_be_made_the_rest_is(tmp_path: Path) -> None:
    rows = [(noise(i), {"label": NAMES[i % 2], "group": NAMES[i % 2]}) for i in range(12)]
    found = run(write(tmp_path, rows))
    assert found.folds is None
    assert found.masking is None
    assert any("no folds can be made" in note for note in found.notes)
    assert audit_sections(found)


def test_a_box_of_each_image_takes_the_place_of_the_disc(tmp_path: Path) -> None:
    def rows() -> Iterable[tuple[Pixels, Row]]:
        for i in range(60):
            pixels, label = noise(i), i % 2
            left = 2 + 5 * (i % 5)
            pixels[8:20, left : left + 12] += np.uint8(70 * label)
            yield pixels, {"label": NAMES[label], "group": f"g{i}", "box": f"{left} 8 {left + 12} 20"}

    found = run(write(tmp_path, rows()), config(discs=())).masking
    assert found is not None
    assert [row.shows for row in found.rows] == ["whole", "surroundings", "centre", "shape"]
    assert found.rows[1].accuracy.low <= 0.5
    assert found.rows[2].accuracy.value > 0.9
    assert found.rows[1].visible == pytest.approx(1 - 144 / 1600, abs=0.03)


def test_a_folder_of_masks_serves_too_and_images_without_one_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "set", told_by(ring(), 40))
    for file in sorted((tmp_path / "set").rglob("*.png"))[4:]:
        mask = tmp_path / "masks" / file.relative_to(tmp_path / "set")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((~ring() * 255).astype(np.uint8)).save(mask)
    found = run(path, config(discs=(), masks=str(tmp_path / "masks")))
    assert found.masking is not None
    assert found.masking.images == 36
    assert found.masking.rows[1].accuracy.value > 0.9
    assert any("4 images have no mask" in note for note in found.notes)


@pytest.mark.parametrize(
    ("settings", "code", "named"),
    [
        ({"masks": "nowhere"}, "E_DATA_MASKS", "nowhere"),
        ({"source_column": "clinc"}, "E_DATA_COLUMN", ("'clinc'", "'clinic'")),
    ],
)
def test_wrong_settings_are_refused_with_what_to_do(
    tmp_path: Path, settings: Row, code: str, named: tuple[str, ...] | str
) -> None:
    rows = [(pixels, {**row, "clinic": "north"}) for pixels, row in told_by(ring(), 40)]
    path = write(tmp_path, rows)
    with raises(DataError, code, says=named):
        run(path, config(**settings))


def test_a_box_that_is_none_is_refused(tmp_path: Path) -> None:
    rows = [(pixels, {**row, "box": "1 2 three 4"}) for pixels, row in told_by(ring(), 40)]
    with raises(DataError, "E_DATA_BOX"):
        run(write(tmp_path, rows))


def test_discs_must_grow() -> None:
    with raises(ConfigError, "E_CONFIG_RANGE"):
        AuditConfig(discs=(0.5, 0.3))


def test_a_trained_network_is_shown_covered_test_images(tmp_path: Path) -> None:
    from weckd_edge.train.data.index import build_index

    path = write(tmp_path, told_by(ring()))
    settings = config()
    index = build_index(path, settings.data, labelled_subsets=2, seed=0, skip_bad=False, progress=SilentProgress())

    def by_border(frame: Pixels) -> NDArray[np.float32]:
        bright = float(frame[0][ring()].mean() > 140)
        return np.array([1 - bright, bright], np.float32)

    images = decode_split(Workspace(tmp_path / "work"), index, "test", path.parent, input_spec().frame, SilentProgress())
    shipped = DeployedNetwork(
        predict=by_border,
        input=input_spec(),
        images=images,
        predictions=np.stack([by_border(frame) for frame in images]),
    )
    found = run_audit(path, index, settings, SilentProgress(), deployed=shipped).masking
    assert found is not None
    whole, surroundings, centre = (row.deployed for row in found.rows)
    assert whole is not None
    assert surroundings is not None
    assert centre is not None
    assert whole.value == surroundings.value == 1.0
    assert centre.value < 0.8
    mask = Mask(shows="centre", disc=1.2, region=np.ones((SIDE, SIDE), np.bool_))
    assert predict_occluded(shipped, images.records, [mask], SilentProgress()).all()
    check_audit_settings(index, settings.audit)


def test_the_classifier_predicts_as_the_probe_of_a_link_does_solved_either_way() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    for width in (20, 200):
        features = random.normal(size=(60, width)).astype(np.float32) + 2
        features[:, 0] += labels
        train, test = np.arange(0, 45), np.arange(45, 60)
        weight, bias = ridge(torch.from_numpy(features[train]).double(), torch.from_numpy(np.eye(3)[labels[train]]))
        wanted = features[test] @ weight.numpy() + bias.numpy()
        assert np.allclose(Ridge(features, labels, 3).scores(train, test), wanted, atol=1e-6)


def test_folds_keep_groups_whole_and_classes_even_and_differ_by_seed() -> None:
    random = np.random.default_rng(0)
    groups = np.sort(random.integers(0, 60, 400))
    groups = np.unique(groups, return_inverse=True)[1]
    labels = groups % 3
    found = group_folds(labels, groups, 5, 0)
    assert all(len(set(found[groups == group])) == 1 for group in np.unique(groups))
    counts = np.array([[np.sum((found == f) & (labels == c)) for f in range(5)] for c in range(3)])
    assert (counts / counts.sum(1, keepdims=True) > 0.1).all()
    assert (group_folds(labels, groups, 5, 1) != found).any()
    single = image_folds(labels, 5, 0)
    assert np.ptp([np.sum((single == f) & (labels == 1)) for f in range(5)]) <= 1


def test_the_area_under_the_curve_counts_ties_half_and_holds_its_value() -> None:
    scores = np.array([0.1, 0.4, 0.4, 0.8, 0.3, 0.9])
    labels = np.array([0, 0, 1, 1, 0, 1])
    found = auc(np.stack([1 - scores, scores], 1), labels, np.arange(6))
    assert found is not None
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    assert found.value == pytest.approx(np.mean(pairs))
    assert found.low <= found.value <= found.high
    assert auc(np.stack([1 - scores, scores], 1), np.zeros(6, np.int64), np.arange(6)) is None


def test_a_sample_takes_whole_groups_of_every_class(tmp_path: Path) -> None:
    from weckd_edge.train.data.index import build_index

    path = write(tmp_path, told_by(ring()))
    index = build_index(path, config().data, labelled_subsets=2, seed=0, skip_bad=False, progress=SilentProgress())
    chosen = number_groups(index.images)
    kept = sample_groups(chosen, 40, 0)
    assert 36 <= kept.sum() <= 44
    part = chosen.where(kept)
    assert not set(part.groups_of_classes(2)) & {0}
    assert {r.group for r in part.records}.isdisjoint(r.group for r, k in zip(chosen.records, kept, strict=True) if not k)


def test_the_command_prints_the_record_and_the_sentences(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    path = write(tmp_path, told_by(ring(), 40))
    code, out, _ = run("data", "audit", path, "--json", "-q")
    assert code == 0
    record = from_json(DataAudit, out, where="stdout", error=DataError)
    assert to_json(record) == out
    assert json.loads(out)["images"] == 40
    code, out, err = run("data", "audit", path, "-q")
    assert code == 0
    assert "Centre against surroundings" in out
    assert "no pretrained backbone was given" in err
    code, _, err = run("data", "audit", tmp_path / "missing")
    assert code == 1
    assert "found nothing there" in err


def test_the_backbone_that_looks_has_all_channels_of_a_link_that_will_lose_some(tmp_path: Path) -> None:
    backbone = create_student(LinkConfig(model="test_resnet"), 2).student.backbone
    weights = tmp_path / "backbone.safetensors"
    save_file(backbone.state_dict(), weights)
    links = [LinkConfig(model="test_resnet", input_size=32, width=width, weights=str(weights)) for width in (1.0, 0.5)]
    frame = FrameSpec(height=SIDE, width=SIDE, crop="center")
    pictures = torch.rand(2, 3, 32, 32) * 255
    whole, narrow = (choose_embedder(some, frame).describe(pictures) for some in (links[:1], links))
    assert torch.equal(whole, narrow)
