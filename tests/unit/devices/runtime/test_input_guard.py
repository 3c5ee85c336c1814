"""The frame guard: what it sees, how it is fitted, and what its bars promise."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from support.errors import raises
from weckd_edge.artifacts import FrameSpec
from weckd_edge.config import GuardConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.runtime.input_guard import FEATURES, OpenGuard, distances, grid_positions, measure_frame
from weckd_edge.pipeline.steps.abstain import check_labels
from weckd_edge.train.input_guard.fit import (
    FeatureSet,
    conformal_limit,
    fit_distance,
    fit_guard,
    quality_limits,
    stack_features,
    weighted_quantile,
)

FRAME = FrameSpec(height=48, width=64, crop="center", resize="bilinear")


def scene(seed: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Draw a smooth scene with some texture, of a colour and layout of its own."""
    random = np.random.default_rng(seed)
    small = random.uniform(70, 180, (6, 8, 3)) * random.uniform(0.8, 1.1, 3)
    smooth = np.array(Image.fromarray(small.clip(0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(smooth + random.normal(0, 6, (height, width, 1)), 0, 255).astype(np.uint8)


def looks(count: int, start: int = 0) -> FeatureSet:
    found = [measure_frame(scene(start + k), FRAME) for k in range(count)]
    return stack_features(found, [f"g{start + k}" for k in range(count)])


def test_the_grid_stays_within_the_crop_with_neighbours_on_both_sides() -> None:
    for side in (3, 4, 64, 65, 480):
        places = grid_positions(10, side)
        assert places.min() >= 11
        assert places.max() <= 10 + side - 2
        assert (np.diff(places) >= 0).all()


def test_only_the_crop_is_looked_at() -> None:
    frame = scene(1)
    changed = frame.copy()
    changed[:, :8] = 0
    changed[:, 56:] = 255
    assert (measure_frame(frame, FRAME).features == measure_frame(changed, FRAME).features).all()
    changed[:, 8:40] = 0
    assert (measure_frame(frame, FRAME).features != measure_frame(changed, FRAME).features).any()


def test_quality_tells_dark_bright_flat_and_blurred_frames_apart() -> None:
    good = measure_frame(scene(2), FRAME).quality
    black = measure_frame(np.zeros((48, 64, 3), np.uint8), FRAME).quality
    white = measure_frame(np.full((48, 64, 3), 255, np.uint8), FRAME).quality
    soft = measure_frame(np.array(Image.fromarray(scene(2)).filter(ImageFilter.GaussianBlur(3))), FRAME).quality
    assert (black.dark_fraction, black.bright_fraction, black.contrast, black.sharpness) == (1, 0, 0, 0)
    assert (white.dark_fraction, white.bright_fraction) == (0, 1)
    assert good.dark_fraction == good.bright_fraction == 0
    assert soft.sharpness < good.sharpness / 4
    assert soft.contrast > good.contrast / 2


def test_a_distance_does_not_depend_on_the_frames_beside_it() -> None:
    train = looks(40)
    mean, whitening = fit_distance(train.features, np.arange(40))
    together = distances(train.features, mean, whitening)
    alone = [float(distances(row[None], mean, whitening)[0]) for row in train.features]
    assert together.tolist() == alone
    assert np.triu(whitening, 1).any() == np.False_


def test_the_distance_is_mahalanobis_of_the_shrunk_covariance() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(4000, FEATURES)) * random.uniform(20, 30, FEATURES)
    mean, whitening = fit_distance(features, np.arange(4000))
    found = distances(features, mean, whitening)
    exact = np.einsum("ni,ij,nj->n", features - mean, np.linalg.inv(np.cov(features.T)), features - mean)
    assert np.corrcoef(found, exact)[0, 1] > 0.97
    assert found.mean() == pytest.approx(FEATURES, rel=0.05)


def test_a_group_of_many_frames_counts_as_one_of_few() -> None:
    train = looks(30)
    twice = FeatureSet(
        features=np.concatenate([train.features, np.repeat(train.features[:1], 50, axis=0)]),
        quality=np.concatenate([train.quality, np.repeat(train.quality[:1], 50, axis=0)]),
        groups=(*train.groups, *["g0"] * 50),
    )
    member = np.unique(twice.groups, return_inverse=True)[1]
    one, other = fit_distance(train.features, np.arange(30)), fit_distance(twice.features, member)
    assert np.allclose(one[0], other[0])
    assert np.allclose(one[1], other[1])


def test_a_conformal_limit_refuses_what_was_asked_and_says_where_it_cannot_promise() -> None:
    scores = np.arange(199.0)
    bar, promised = conformal_limit(scores, [str(k) for k in range(199)], 0.01)
    assert (bar, promised) == (197.0, 0.01)
    bar, promised = conformal_limit(scores[:9], [str(k) for k in range(9)], 0.01)
    assert (bar, promised) == (8.0, 0.1)
    assert conformal_limit(scores, ["a"] * 199, 0.0) == (None, 0.0)


def test_new_familiar_frames_are_refused_about_as_often_as_asked_and_others_always() -> None:
    found = fit_guard(looks(300), looks(60, 1000), GuardConfig(false_reject_rate=0.05))
    assert found is not None
    guard = OpenGuard(found.guard, FRAME)
    new = [guard.check(scene(5000 + k)) for k in range(200)]
    assert sum(decision.code is not None for decision in new) <= 24  # 99.99 % of binomials of 5 %
    random = np.random.default_rng(1)
    noise = guard.check(random.integers(0, 256, (48, 64, 3), np.uint8))
    black = guard.check(np.zeros((48, 64, 3), np.uint8))
    soft = guard.check(np.array(Image.fromarray(scene(5000)).filter(ImageFilter.GaussianBlur(3))))
    assert (noise.code, black.code, soft.code) == ("out_of_distribution", "too_dark", "blurred")
    assert all(guard.limit_ratio(decision) > 1 for decision in (noise, black, soft))
    assert all((guard.limit_ratio(decision) > 1) == (decision.code is not None) for decision in new)


def test_with_few_groups_there_is_no_guard() -> None:
    assert fit_guard(looks(10), looks(0), GuardConfig()) is None


def test_limits_can_be_set_and_switched_off() -> None:
    train = looks(30)
    bars = quality_limits(train, GuardConfig(min_sharpness=7.5, min_contrast="off", max_dark_fraction="off"))
    assert bars.min_sharpness == 7.5
    assert bars.min_contrast is None
    assert bars.max_dark_fraction is None
    assert bars.max_bright_fraction == pytest.approx(0.2)
    found = quality_limits(train, GuardConfig()).min_sharpness
    assert found == pytest.approx(0.8 * train.quality[:, 0].min())


def test_a_weighted_quantile_counts_weights() -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert weighted_quantile(values, np.array([1.0, 1.0, 8.0]), 0.5) == 2.0
    assert weighted_quantile(values, np.ones(3), 1.0) == 3.0


def test_an_unknown_label_is_refused_with_the_nearest() -> None:
    with raises(ConfigError, "E_CONFIG_CLASSES", says="'waxx'"):
        check_labels(GuardConfig(non_gradeable_labels=("waxx",)), ("normal", "wax"))
    with raises(ConfigError, "E_CONFIG_CLASSES"):
        check_labels(GuardConfig(non_gradeable_labels=("wax", "normal")), ("normal", "wax"))
