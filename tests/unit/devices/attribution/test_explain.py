"""Where a model finds its evidence: maps that peak where they must, and the figure that tells a good one from a bad one."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from support.errors import printed, raises
from weckd_edge.core.errors import BundleError, ConfigError, ModelError, StoreError
from weckd_edge.devices.attribution.deletion import FRACTIONS, measure_deletion
from weckd_edge.devices.attribution.explain_images import Explanation, explain_images, overlay_of, sanity_words
from weckd_edge.devices.attribution.occlusion_map import AttributionMap, OcclusionSettings, cover_of, map_attribution
from weckd_edge.devices.attribution.overlay import PANEL_PIXELS, draw_figure, draw_model_view, draw_overlay, map_colours
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.runtime.predict import open_bundle_model

HEIGHT, WIDTH = 48, 64
BOX = (0, 8, 48, 48)


class CornerRunner:
    """Says yes as far as one corner of the frame is red; the rest of the frame means nothing to it."""

    name, version, input_shape = "corner", "1", (1, HEIGHT, WIDTH, 3)

    def __init__(self, top: int = 0, left: int = 8, side: int = 12, weight: float = 8.0) -> None:
        self.where = (0, slice(top, top + side), slice(left, left + side))
        self.weight = weight
        self.asked: list[NDArray[np.uint8]] = []

    def run(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.asked.append(frame.copy())
        red = frame[self.where].astype(np.float32).mean((0, 1)) @ np.array([1, -0.5, -0.5], np.float32) / 255
        yes = 1 / (1 + np.exp(-self.weight * (float(red) - 0.3)))
        return np.array([1 - yes, yes], np.float32)

    def close(self) -> None:
        pass


def scene() -> NDArray[np.uint8]:
    """A grey, noisy frame with a red corner at the top left of the box."""
    frame = np.random.default_rng(0).integers(90, 140, (1, HEIGHT, WIDTH, 3), np.uint8)
    frame[0, :12, 8:20] = (230, 20, 20)
    return frame


def test_the_map_peaks_where_the_evidence_is() -> None:
    found = map_attribution(CornerRunner(), scene(), 1, box=BOX)
    row, column = np.unravel_index(found.map.argmax(), found.map.shape)
    assert row < 12
    assert 8 <= column < 20
    assert found.map.dtype == np.float32
    assert found.map.shape == (HEIGHT, WIDTH)
    assert found.map[30:, 40:].max() < 0.02 * found.map.max()
    assert found.probability == pytest.approx(CornerRunner().run(scene())[1])


def test_evidence_for_one_label_is_evidence_against_the_other() -> None:
    yes, no = (map_attribution(CornerRunner(), scene(), label, box=BOX) for label in (1, 0))
    np.testing.assert_allclose(yes.map, -no.map, atol=1e-3)


@pytest.mark.parametrize("fill", ["mean", "blur"])
def test_the_same_frame_gives_the_same_map_and_stays_as_it_was(fill: Any) -> None:
    frame, covering = scene(), OcclusionSettings(fill=fill)
    first, second = (map_attribution(CornerRunner(), frame, 1, box=BOX, covering=covering) for _ in range(2))
    np.testing.assert_array_equal(first.map, second.map)
    np.testing.assert_array_equal(frame, scene())


def test_only_the_part_that_is_looked_at_is_ever_covered() -> None:
    runner, frame = CornerRunner(), scene()
    found = map_attribution(runner, frame, 1, box=BOX)
    measure_deletion(runner, frame, found, maps_by_chance=2)
    asked = np.concatenate(runner.asked)
    assert (asked[:, :, :8] == frame[:, :, :8]).all()
    assert (asked[:, :, 56:] == frame[:, :, 56:]).all()
    assert (found.map[:, :8] == 0).all()
    assert len(asked) == found.queries + 3 * (len(FRACTIONS) - 1)


def test_covers_are_everywhere_also_at_the_edges() -> None:
    runner, frame = CornerRunner(), scene()
    map_attribution(runner, frame, 1, box=BOX, covering=OcclusionSettings(patch=0.3, stride=0.15))
    changed = (np.concatenate(runner.asked) != frame).any((0, 3))
    assert changed[:, 8:56].mean() > 0.9
    assert changed[0, 8:56].any()
    assert changed[:, 55].any()


def test_a_whole_frame_of_eight_pixels_has_a_map_too() -> None:
    frame = np.full((1, 8, 8, 3), 128, np.uint8)
    frame[0, :3, :3] = (255, 0, 0)
    found = map_attribution(CornerRunner(left=0, side=3), frame, 1)
    assert np.isfinite(found.map).all()
    row, column = np.unravel_index(found.map.argmax(), found.map.shape)
    assert row < 4
    assert column < 4


def test_a_certain_prediction_still_has_a_finite_map() -> None:
    found = map_attribution(CornerRunner(weight=1e3), scene(), 1, box=BOX)
    assert np.isfinite(found.map).all()
    assert found.map.max() > 0


@pytest.mark.parametrize(("patch", "stride"), [(0.1, 0.2), (0.0, 0.0), (1.2, 0.1)])
def test_covers_that_leave_gaps_or_have_no_size_are_refused(patch: float, stride: float) -> None:
    with raises(ConfigError, "E_CONFIG_RANGE", says=("0", "1")):
        OcclusionSettings(patch=patch, stride=stride)


def test_a_label_that_is_none_and_a_prediction_that_is_no_number_are_refused() -> None:
    with raises(ModelError, "E_MODEL_OUTPUT", says=("0", "1", "2")):
        map_attribution(CornerRunner(), scene(), 2)
    with raises(ModelError, "E_MODEL_NOT_FINITE"):
        map_attribution(CornerRunner(weight=float("nan")), scene(), 1)


def test_a_blurred_cover_keeps_colour_and_loses_detail() -> None:
    crop = scene()[0]
    blurred = cover_of(crop, "blur")
    assert blurred.std(axis=(0, 1)).max() < crop.std(axis=(0, 1)).max()
    np.testing.assert_allclose(blurred.mean((0, 1)), crop.mean((0, 1)), atol=12)
    assert (cover_of(crop, "mean") == np.rint(crop.reshape(-1, 3).mean(0))).all()


def test_deleting_what_a_good_map_marks_beats_every_moved_copy() -> None:
    runner, frame = CornerRunner(), scene()
    found = map_attribution(runner, frame, 1, box=BOX)
    good = measure_deletion(runner, frame, found)
    assert good.maps_beaten == good.maps_by_chance == 19
    assert good.area < good.area_by_chance - 0.1
    assert good.probability[0] == pytest.approx(found.probability)
    assert len(good.probability) == len(good.probability_by_chance) == len(good.fractions)
    assert good == measure_deletion(runner, frame, found)
    assert "sooner than all" in sanity_words(found, good, "yes")


def test_a_map_that_points_elsewhere_is_distinguished_from_a_good_one() -> None:
    runner, frame = CornerRunner(), scene()
    found = map_attribution(CornerRunner(top=34, left=40), scene_with_red_at(34, 40), 1, box=BOX)
    honest = map_attribution(runner, frame, 1, box=BOX)
    wrong = AttributionMap(
        label=1, probability=honest.probability, box=BOX, map=found.map, covering=OcclusionSettings(), queries=found.queries
    )
    check = measure_deletion(runner, frame, wrong)
    assert check.maps_beaten < 10
    assert check.area > measure_deletion(runner, frame, honest).area + 0.1
    assert sanity_words(wrong, check, "yes").startswith("Not to be relied on")


def scene_with_red_at(top: int, left: int) -> NDArray[np.uint8]:
    frame = np.full((1, HEIGHT, WIDTH, 3), 110, np.uint8)
    frame[0, top : top + 12, left : left + 12] = (230, 20, 20)
    return frame


def test_a_model_that_looks_nowhere_gets_no_colours_and_says_so() -> None:
    class Fixed(CornerRunner):
        def run(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.array([0.2, 0.8], np.float32)

    frame = scene()
    found = map_attribution(Fixed(), frame, 1, box=BOX)
    picture = draw_overlay(frame[0], found)
    assert (picture[..., 0] == picture[..., 1]).all()
    assert "no one place" in sanity_words(found, measure_deletion(Fixed(), frame, found), "yes")


def test_the_overlay_is_coloured_where_the_evidence_is_grey_elsewhere_and_dark_where_nothing_is_seen() -> None:
    frame = scene()
    found = map_attribution(CornerRunner(), frame, 1, box=BOX)
    picture = draw_overlay(frame[0], found, width_pixels=128).astype(int)
    assert picture.shape == (96, 128, 3)
    colourful = np.ptp(picture, axis=-1) > 25
    assert colourful[2:10, 24:32].all()
    assert not colourful[60:, 80:].any()
    assert picture[:, :14].mean() < 0.5 * picture[60:, 80:110].mean()
    outline = (picture >= 245).all(-1)
    assert outline[:48, 16:64].any()
    assert not outline[60:].any()


def test_colours_grow_lighter_by_even_steps() -> None:
    light = map_colours(np.linspace(0, 1, 50)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light) > 0).all()
    assert light[0] < 30
    assert light[-1] > 200


def test_a_figure_holds_both_pictures_and_a_caption_that_fits() -> None:
    frame = scene()
    found = map_attribution(CornerRunner(), frame, 1, box=BOX)
    short = draw_figure(frame[0], found, "yes 97 %", ("one line",))
    long = draw_figure(frame[0], found, "yes 97 %", ("word " * 60, "x" * 400))
    assert short.shape[1] == long.shape[1] == 2 * PANEL_PIXELS + 36
    assert long.shape[0] > short.shape[0] + 60
    assert (long[:, -10:] == long[0, 0]).all()
    assert draw_model_view(frame[0], BOX).shape == (360, 480, 3)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for number, name in enumerate(("a/1.png", "b/1.jpg", "c.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def explain(bundle: Path, images: list[Path], out: Path) -> tuple[Explanation, ...]:
    with closing(open_bundle_model(bundle, backend="onnxruntime")) as model:
        return tuple(explain_images(model, images, out))


def test_every_readable_image_gets_its_picture_and_a_bad_one_its_line(toy: ModuleType, tmp_path: Path, images: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b").folder
    found = explain(bundle, [images], tmp_path / "out")
    assert [one.overlay and Path(one.overlay).name for one in found] == ["1.png", "1-2.png", None, "c.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1-2.png", "1.png", "c.png"]
    assert found[2].deletion is None
    assert "not an image" in str(found[2].prediction.reason)
    for one in found:
        if one.overlay is not None:
            with Image.open(one.overlay) as picture:
                assert picture.size[0] == 2 * PANEL_PIXELS + 36
    again = explain(bundle, [images], tmp_path / "again")
    assert (tmp_path / "out/c.png").read_bytes() == (tmp_path / "again/c.png").read_bytes()
    assert [one.deletion for one in again] == [one.deletion for one in found]


def test_no_picture_is_overwritten_and_none_is_put_into_the_bundle(toy: ModuleType, tmp_path: Path, images: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b").folder
    (tmp_path / "out").mkdir()
    (tmp_path / "out/c.png").write_bytes(b"mine")
    with raises(StoreError, "E_STORE_OCCUPIED", says="c.png"):
        explain(bundle, [images], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.png"]
    assert (tmp_path / "out/c.png").read_bytes() == b"mine"
    with raises(StoreError, "E_STORE_OCCUPIED"):
        explain(bundle, [images], bundle / "evidence")
    (tmp_path / "file").write_bytes(b"")
    with raises(StoreError, "E_STORE_UNWRITABLE"):
        explain(bundle, [images], tmp_path / "file")
    with pytest.raises(BundleError):
        explain(images, [images], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_prediction_that_abstains_is_explained_too(toy: ModuleType, tmp_path: Path, images: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b", confidence_threshold=0.999).folder
    (found,) = explain(bundle, [images / "c.png"], tmp_path / "out")
    assert found.prediction.reason is not None
    assert found.overlay is not None
    assert found.deletion is not None


def test_a_small_overlay_of_one_file(toy: ModuleType, tmp_path: Path, images: Path) -> None:
    spec = toy.write_bundle(tmp_path / "b").manifest.input.frame
    runner = CornerRunner(left=0, side=3)
    runner.input_shape = (1, 8, 8, 3)
    frame = frame_from_file(images / "c.png", spec)[0]
    picture = overlay_of(frame, runner, spec, width_pixels=60)
    assert (picture.shape, picture.dtype) == ((60, 60, 3), np.uint8)
    yes, no = (overlay_of(frame, runner, spec, label=label, width_pixels=60) for label in (0, 1))
    assert (yes != no).any()
    known = runner.run(frame[None])
    assert (overlay_of(frame, runner, spec, predicted=known, width_pixels=60) == picture).all()


def test_the_command_writes_pictures_and_its_json_says_how_far_to_rely_on_them(
    toy: ModuleType, tmp_path: Path, images: Path, run: Any
) -> None:
    bundle = toy.write_bundle(tmp_path / "b").folder
    args = ("predict", bundle, images, "--backend", "onnxruntime", "--explain")
    code, out, err = run(*args, tmp_path / "out", "--json")
    assert code == 0
    rows = json.loads(out)["images"]
    assert [row["overlay"] is None for row in rows] == [False, False, True, False]
    assert set(rows[0]["deletion"]) >= {"area", "area_by_chance", "maps_beaten", "maps_by_chance", "probability"}
    assert rows[0]["method"].startswith("occlusion: ")
    assert "pictures: 3 of 4 in" in err
    code, out, err = run(*args, tmp_path / "out")
    assert code == 1
    printed(err, "E_STORE_OCCUPIED")
    code, out, err = run(*args, tmp_path / "more")
    assert (code, out.count("bad.png")) == (0, 2)
