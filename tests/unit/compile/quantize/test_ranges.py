"""Where int8 ranges end: each way of clipping against what it is defined by."""

from __future__ import annotations

import numpy as np
import pytest

from weckd_edge.compile.quantize.forms import SIGNED_LEVELS
from weckd_edge.compile.quantize.ranges import BINS, METHODS, Histogram, watch_tensors
from weckd_edge.core.progress import SilentProgress


def filled(*arrays: np.ndarray) -> Histogram:
    seen = Histogram()
    for array in arrays:
        seen.add(array.astype(np.float32))
    return seen


def squared_error(values: np.ndarray, limit: float) -> float:
    step = limit / SIGNED_LEVELS
    return float(((values - np.clip(np.rint(values / step), -SIGNED_LEVELS, SIGNED_LEVELS) * step) ** 2).mean())


@pytest.fixture(scope="module")
def heavy() -> np.ndarray:
    """A bell with a few values far out, which min-max would spend most of its steps on."""
    random = np.random.default_rng(0)
    return np.concatenate([random.normal(size=200_000), [40.0, -35.0, 38.0]])


def test_the_histogram_counts_every_magnitude_whatever_order_the_frames_come_in(heavy: np.ndarray) -> None:
    parts = np.array_split(heavy, 7)
    forward, back = filled(*parts), filled(*parts[::-1])
    for seen in (forward, back):
        assert seen.counts.sum() == len(heavy)
        assert seen.largest == pytest.approx(40.0)
        edges = np.arange(BINS + 1) * seen.width
        expected = np.histogram(np.abs(heavy.astype(np.float32)), edges)[0]
        assert np.abs(np.cumsum(seen.counts) - np.cumsum(expected)).max() <= 3, "a value on an edge may fall either way"


def test_minmax_clips_nothing_and_the_others_never_hold_more(heavy: np.ndarray) -> None:
    seen = filled(heavy)
    assert seen.limit("minmax", SIGNED_LEVELS) == pytest.approx(40.0)
    assert all(0 < seen.limit(method, SIGNED_LEVELS) <= seen.limit("minmax", SIGNED_LEVELS) for method in METHODS)


def test_the_percentile_leaves_the_rarest_hundred_thousandth_out(heavy: np.ndarray) -> None:
    limit = filled(heavy).limit("percentile", SIGNED_LEVELS)
    assert (np.abs(heavy) > limit).mean() <= 1e-5
    assert limit < 40.0
    assert (np.abs(heavy) > limit - 0.05).mean() > 1e-5


def test_mse_is_the_range_of_least_error(heavy: np.ndarray) -> None:
    limit = filled(heavy).limit("mse", SIGNED_LEVELS)
    tried = [squared_error(heavy, at) for at in np.linspace(2, 40, 100)]
    assert squared_error(heavy, limit) <= min(tried) * 1.02
    assert squared_error(heavy, limit) < squared_error(heavy, 40.0) / 1.4


def test_entropy_clips_a_thin_tail_and_leaves_an_even_spread_alone(heavy: np.ndarray) -> None:
    assert filled(heavy).limit("entropy", SIGNED_LEVELS) < 15
    even = np.random.default_rng(1).uniform(-3, 3, 100_000)
    assert filled(even).limit("entropy", SIGNED_LEVELS) > 2.9


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_of_zeros_and_one_of_few_values_have_a_range(method: str) -> None:
    assert filled(np.zeros(10)).limit(method, SIGNED_LEVELS) == 0.0  # type: ignore[arg-type]  # each of METHODS
    assert filled(np.zeros(10), np.array([0.0, 2.0])).limit(method, SIGNED_LEVELS) == pytest.approx(2.0, rel=1e-3)  # type: ignore[arg-type]  # likewise


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Histogram().add(np.array([1.0, np.nan], dtype=np.float32))


def test_where_nothing_is_named_nothing_is_classified() -> None:
    """ONNX Runtime takes an empty list of outputs for all of them."""
    onnx = pytest.importorskip("onnx")
    with SilentProgress().task("", 0) as task:
        assert list(watch_tensors(onnx.ModelProto(), [], "frame", [np.zeros(1)], task)) == []
