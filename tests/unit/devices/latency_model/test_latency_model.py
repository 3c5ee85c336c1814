"""Fit, intervals, labels and refusals of predicted latencies, and the published figures they are held against."""

import dataclasses
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.core.errors import ConfigError, DeviceError, ModelError
from weckd_edge.devices.latency_model.counts import (
    LayerCount,
    NetworkCounts,
    as_int8,
    counts_from_data,
    counts_to_data,
    read_counts,
    write_counts,
)
from weckd_edge.devices.latency_model.estimate import ENOUGH, LatencyEstimate, estimate_latency
from weckd_edge.devices.latency_model.features import FEATURES, feature_matrix, features
from weckd_edge.devices.latency_model.fitting import (
    conformal_width,
    fit_prices,
    group_errors,
    nonnegative_least_squares,
)
from weckd_edge.devices.latency_model.measurements import (
    TimedNetwork,
    append_measurements,
    from_line,
    read_measurements,
    to_line,
)
from weckd_edge.devices.latency_model.published import leave_one_out, transfer_width
from weckd_edge.devices.latency_model.published_rows import (
    PublishedRow,
    counts_of,
    published_counts,
    published_rows,
    rows_of,
)
from weckd_edge.devices.latency_model.reference import PRICES_NS, reference_prices
from weckd_edge.devices.latency_model.tensorrt_roofline import fit_roofline, roofline_ns
from weckd_edge.devices.profiles.profile import DeviceProfile, PowerMode, load_profile
from weckd_edge.devices.profiles.records import PublishedLatency

DEVICE = DeviceProfile(id="board", name="a board", target="cpu", architecture="aarch64", cpu_models=("board",))


def layer(**changes: Any) -> LayerCount:
    fields: dict[str, Any] = {
        "kind": "pointwise",
        "precision": "float32",
        "macs": 1_000_000,
        "in_channels": 64,
        "out_channels": 64,
        "window": 1,
        "out_pixels": 256,
        "read_bytes": 65536,
        "weight_bytes": 16384,
        "written_bytes": 65536,
    }
    return LayerCount(**(fields | changes))


def network(seed: int, precision: str = "float32") -> NetworkCounts:
    """A network of a few layers of several kinds."""
    random = np.random.default_rng(seed)
    kinds = ("dense", "pointwise", "depthwise", "pool", "elementwise")
    size = 4 if precision == "float32" else 1
    return NetworkCounts(
        layers=tuple(
            layer(
                kind=kind,
                precision=precision,
                macs=int(random.integers(1e5, 2e7)),
                read_bytes=int(random.integers(1e4, 2e5)) * size,
                written_bytes=int(random.integers(1e4, 2e5)) * size,
                weight_bytes=int(random.integers(1e3, 1e5)) * size,
                times=int(random.integers(1, 8)),
            )
            for kind in kinds
        )
    )


def timed(seed: int, *, noise: float = 0.0, precision: str = "float32", **changes: Any) -> TimedNetwork:
    """A network whose time on an invented board is known: three times the reference machine's, with noise."""
    counts = network(seed, precision)
    factor = 3 * math.exp(noise * float(np.random.default_rng(seed + 10_000).standard_normal()))
    fields: dict[str, Any] = {
        "device": "board",
        "host": "a board",
        "backend": "openvino",
        "backend_version": "1",
        "threads": 1,
        "precision": precision,
        "network": f"n{seed}",
        "family": f"f{seed % 6}",
        "latency_ns": round(float(features(counts) @ reference_prices()) * factor),
        "noise": 0.02,
        "counts": counts,
    }
    return TimedNetwork(**(fields | changes))


# --- the fit ------------------------------------------------------------------------------------------------------------


def test_nonnegative_least_squares_is_that_of_scipy() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    random = np.random.default_rng(0)
    for _ in range(20):
        a, b = random.standard_normal((30, 8)), random.standard_normal(30)
        assert nonnegative_least_squares(a, b) == pytest.approx(optimize.nnls(a, b)[0], abs=1e-9)


def test_prices_are_found_again_and_none_is_negative() -> None:
    random = np.random.default_rng(0)
    work, true = random.uniform(0, 1e6, (60, 5)), np.array([0.01, 0.0, 0.3, 2.0, 0.0])
    prices = fit_prices(work, work @ true, pull=1e-12)
    assert prices == pytest.approx(true, abs=1e-4)
    assert (prices >= 0).all()


def test_one_network_that_runs_unlike_any_other_does_not_bend_the_prices() -> None:
    random = np.random.default_rng(0)
    work, true = random.uniform(1e5, 1e6, (60, 3)), np.array([0.01, 0.1, 1.0])
    times = work @ true
    times[7] *= 5
    assert fit_prices(work, times, pull=1e-9) == pytest.approx(true, rel=0.05)


def test_what_was_never_seen_keeps_its_known_price_times_the_common_factor() -> None:
    work = np.array([[1e6, 0.0], [2e6, 0.0], [3e6, 0.0]])
    prices = fit_prices(work, np.array([3e6, 6e6, 9e6]), known=np.array([1.0, 7.0]))
    assert prices == pytest.approx([3.0, 21.0])


def test_a_prediction_rises_with_every_amount_of_work() -> None:
    measured = [timed(seed, noise=0.05) for seed in range(40)]
    before = estimate_latency(network(99), DEVICE, measured)
    for field in ("macs", "read_bytes", "written_bytes", "weight_bytes", "times"):
        more = tuple(replace(one, **{field: getattr(one, field) * 3}) for one in network(99).layers)
        after = estimate_latency(NetworkCounts(layers=more), DEVICE, measured)
        assert after.latency_ns is not None
        assert before.latency_ns is not None
        assert after.latency_ns >= before.latency_ns


def test_an_interval_holds_nine_of_ten_new_networks_in_simulation() -> None:
    measured = [timed(seed, noise=0.15) for seed in range(60)]
    inside = 0
    for seed in range(1000, 1200):
        new = timed(seed, noise=0.15)
        found = estimate_latency(new.counts, DEVICE, measured)
        assert found.label == "estimated"
        assert found.low_ns is not None
        assert found.high_ns is not None
        inside += found.low_ns <= new.latency_ns <= found.high_ns
    assert 0.85 * 200 <= inside <= 0.99 * 200


def test_a_conformal_width_needs_enough_errors() -> None:
    errors = np.linspace(-1, 1, 19)
    assert conformal_width(errors) == pytest.approx(1.0)
    assert conformal_width(errors[:8]) is None
    assert conformal_width(np.arange(1, 20, dtype=float), 0.9) == 18.0
    assert conformal_width(np.arange(1, 41, dtype=float)) == 39.0
    assert conformal_width(np.arange(ENOUGH, dtype=float)) is not None


def test_errors_come_from_fits_without_the_family() -> None:
    work = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0], [2.0, 1.0]])
    times = np.array([1.0, 2.0, 11.0, 12.0])
    errors = group_errors(work * 1e6, times * 1e6, ["a", "a", "b", "b"])
    assert abs(errors[2]) > 1  # nothing in family a tells the second price
    with raises(ModelError, "E_MODEL_MEASUREMENTS"):
        group_errors(work, times, ["a"] * 4)


def test_fitting_to_nothing_is_refused() -> None:
    with raises(ModelError, "E_MODEL_MEASUREMENTS"):
        fit_prices(np.zeros((0, 3)), np.zeros(0))


# --- labels and reasons -------------------------------------------------------------------------------------------------


def test_the_very_network_that_was_timed_is_measured() -> None:
    known = [timed(seed) for seed in range(3)]
    found = estimate_latency(known[1].counts, DEVICE, known)
    assert (found.label, found.latency_ns) == ("measured", known[1].latency_ns)
    assert "n1 has just these layers" in found.reason


def test_a_device_of_which_nothing_is_known_is_unknown_and_says_what_to_do() -> None:
    assert estimate_latency(network(1), DEVICE) == LatencyEstimate(
        label="unknown",
        latency_ns=None,
        low_ns=None,
        high_ns=None,
        reason="no measurement of board, no published latency of a known network on it, no peak of its arithmetic; "
        "run 'weckd-edge estimate --calibrate FILE' on the device, then give the file with --measurements",
    )


def test_measurements_of_another_device_or_backend_are_not_used() -> None:
    known = [timed(seed, device="other") for seed in range(40)]
    assert estimate_latency(network(1), DEVICE, known).label == "unknown"
    own = [timed(seed) for seed in range(40)]
    found = estimate_latency(network(99), DEVICE, own, backend="onnxruntime")
    assert found.label == "unknown"
    assert "40 measurements of it are by another backend" in found.reason


def test_unlike_settings_are_never_fitted_together() -> None:
    few = [replace(timed(seed), threads=4, latency_ns=1) for seed in range(5)]
    many = [timed(seed) for seed in range(30)]
    assert estimate_latency(network(99), DEVICE, [*few, *many]) == estimate_latency(network(99), DEVICE, many)
    assert "4 thread(s)" in estimate_latency(network(99), DEVICE, [*few, *many], threads=4).reason


def test_few_measurements_scale_the_reference_and_the_interval_is_wide() -> None:
    true = timed(99).latency_ns
    few = estimate_latency(network(99), DEVICE, [timed(seed) for seed in range(4)])
    many = estimate_latency(network(99), DEVICE, [timed(seed) for seed in range(ENOUGH + 10)])
    assert few.latency_ns == pytest.approx(true, rel=0.02)
    assert few.low_ns is not None
    assert many.low_ns is not None
    assert few.low_ns < many.low_ns <= true
    assert f"{ENOUGH} or more in float32" in few.reason


def test_the_other_precision_alone_is_not_enough() -> None:
    found = estimate_latency(network(99, "int8"), DEVICE, [timed(seed) for seed in range(30)])
    assert found.label == "unknown"
    assert "none in int8" in found.reason


def test_an_interval_beyond_what_was_measured_is_doubled() -> None:
    measured = [timed(seed, noise=0.1) for seed in range(40)]
    huge = NetworkCounts(layers=tuple(replace(one, times=one.times * 100) for one in network(99).layers))
    near, far = estimate_latency(network(99), DEVICE, measured), estimate_latency(huge, DEVICE, measured)
    widths = [math.log((p.high_ns or 0) / (p.low_ns or 1)) for p in (near, far)]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert "interval doubled" in far.reason


def test_a_class_of_devices_says_where_it_was_measured() -> None:
    known = [timed(seed, device="generic-x86", host="Some Processor") for seed in range(40)]
    found = estimate_latency(network(99), load_profile("generic-x86"), known)
    assert "timed on Some Processor (openvino 1, 1 thread(s)), which stands for generic-x86" in found.reason


# --- published figures --------------------------------------------------------------------------------------------------


def test_the_published_networks_have_the_macs_that_everyone_gives() -> None:
    macs = {name: counts.macs / 1e9 for name, counts in published_counts().items()}
    assert macs == pytest.approx(
        {
            "efficientnet_b0": 0.386,
            "mobilenetv1": 0.569,
            "mobilenetv2": 0.301,
            "mobilenetv3_large": 0.217,
            "resnet18": 1.814,
            "resnet50": 4.089,
        },
        rel=0.005,
    )


def test_a_published_device_is_predicted_from_its_figures() -> None:
    found = estimate_latency(counts_of("resnet50", "int8"), load_profile("atom-x6425e"))
    assert found.label == "estimated"
    assert found.latency_ns == pytest.approx(52.0e6, rel=0.15)
    assert "2 published latencies of Intel Atom x6425E (Elkhart Lake) (openvino" in found.reason


def test_onnx_runtime_on_x86_is_predicted_from_openvinos_figures_with_a_wider_interval() -> None:
    counts, profile = counts_of("resnet50", "int8"), load_profile("atom-x6425e")
    openvino = estimate_latency(counts, profile, backend="openvino")
    found = estimate_latency(counts, profile, backend="onnxruntime")
    assert found.label == "estimated"
    assert "OpenVINO's latencies stand for ONNX Runtime" in found.reason
    assert found.latency_ns != openvino.latency_ns
    widths = [math.log((one.high_ns or 0) / (one.low_ns or 1)) for one in (openvino, found)]
    assert widths[1] == pytest.approx(1.5 * widths[0], rel=0.01)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_what_this_software_runs_on_arm_stays_unknown_until_somebody_measures(backend: str) -> None:
    found = estimate_latency(counts_of("resnet50", "int8"), load_profile("raspberry-pi-5"), backend=backend)
    assert (found.label, found.latency_ns) == ("unknown", None)


def test_a_device_that_another_stands_for_gets_a_wider_interval() -> None:
    def width(device: str) -> float:
        found = estimate_latency(counts_of("resnet50", "int8"), load_profile(device))
        return math.log((found.high_ns or 0) / (found.low_ns or 1))

    assert width("intel-n100") > 1.4 * width("atom-x6425e")
    assert (
        "Intel Atom x7425E (Alder Lake-N) stands for it"
        in estimate_latency(counts_of("resnet50", "int8"), load_profile("intel-n100")).reason
    )


def test_a_jetson_is_predicted_from_its_peak_and_only_in_int8() -> None:
    orin = load_profile("jetson-orin-nano-8gb")
    found = estimate_latency(counts_of("resnet50", "int8"), orin, power_mode="15W")
    assert found.label == "estimated"
    assert "20.1 dense int8 TOPS of power mode 15W" in found.reason
    assert estimate_latency(counts_of("resnet50", "float32"), orin).label == "unknown"
    with raises(ConfigError, "E_CONFIG_CHOICE", says="'20W'"):
        estimate_latency(counts_of("resnet50", "int8"), orin, power_mode="20W")


def test_a_jetson_without_a_known_peak_or_figure_is_unknown() -> None:
    nano = DeviceProfile(
        id="jetson-x", name="x", target="jetson", architecture="aarch64", power_modes=(PowerMode(name="MAXN"),)
    )
    assert estimate_latency(counts_of("resnet50", "int8"), nano).label == "unknown"


def test_the_roofline_gives_back_the_two_figures_it_was_settled_by() -> None:
    layer_ns, part = fit_roofline()
    assert layer_ns > 0
    assert 0 < part < 1
    for row in published_rows():
        if row.runtime == "tensorrt" and row.int8_tops_dense:
            assert roofline_ns(counts_of("resnet50", "int8"), row.int8_tops_dense) == pytest.approx(row.ms["resnet50"] * 1e6)


def test_nine_of_ten_published_figures_that_were_left_out_are_inside() -> None:
    hits = [abs(left.error) <= transfer_width(left.figures, left.row.device) for left in leave_one_out()]
    assert len(hits) >= 100
    assert sum(hits) / len(hits) >= 0.85


def test_rows_of_ones_own_take_the_place_of_the_table() -> None:
    row = PublishedRow(
        device="board", name="Board", runtime="ncnn", precision="float32", ms={"resnet18": 50.0}, source="a sheet"
    )
    found = estimate_latency(counts_of("resnet18", "float32"), DEVICE, published=[row])
    assert found.latency_ns == pytest.approx(50e6, rel=0.01)


def figure(model: str = "resnet50", **values: Any) -> PublishedLatency:
    given = {"precision": "int8", "runtime": "ncnn 1.2", "statistic": "mean", "latency_ms": 4.0, "input_size": 224}
    said = {"source": "a sheet", "date": "2026-11-24", "confidence": "V"}
    return PublishedLatency(model=model, **{**given, **said, **values})


def rows_with(*figures: PublishedLatency, **values: Any) -> tuple[PublishedRow, ...]:
    return rows_of(dataclasses.replace(DEVICE, published=figures, **values))


def test_figures_of_one_setting_are_one_row_and_a_median_comes_before_a_mean() -> None:
    (row,) = rows_with(figure(), figure("mobilenet"), figure(statistic="median", latency_ms=3.0))
    assert (row.device, row.runtime, row.precision) == ("board", "ncnn", "int8")
    assert row.ms == {"resnet50": 3.0, "mobilenetv1": 4.0}


@pytest.mark.parametrize(
    "values",
    [
        {"model": "yolov8n"},
        {"input_size": 640},
        {"input_size": None},
        {"batch": 8},
        {"statistic": "p99"},
        {"latency_ms": None, "low_ms": 1.0, "high_ms": 2.0},
    ],
)
def test_a_figure_that_no_prediction_can_be_held_against_makes_no_row(values: dict[str, Any]) -> None:
    assert rows_with(figure(**values)) == ()


@pytest.mark.parametrize(
    ("values", "device", "stands_for"),
    [
        ({"threads": 4}, "board", ()),
        ({"part": "the slow cores"}, "a board, the slow cores", ()),
        ({"processor": "npu"}, "a board, NPU", ()),
        ({"measured_on": "its twin"}, "its twin", ("board",)),
        ({"measured_on": "its twin", "processor": "npu"}, "its twin, NPU", ()),
    ],
)
def test_only_what_a_build_runs_on_speaks_for_a_device(
    values: dict[str, Any], device: str, stands_for: tuple[str, ...]
) -> None:
    (row,) = rows_with(figure(**values))
    assert (row.device, row.stands_for) == (device, stands_for)


def test_a_figure_gets_the_peak_of_its_power_mode_and_a_mode_that_is_none_is_refused() -> None:
    modes = (PowerMode(name="15W", int8_tops_dense=20.0),)
    (row,) = rows_with(figure(power_mode="15W"), power_modes=modes)
    assert row.int8_tops_dense == 20.0
    with raises(DeviceError, "E_DEVICE_PUBLISHED", says=("'15'", "power_modes")):
        rows_with(figure(power_mode="15"), power_modes=modes)


def test_what_a_profile_of_ones_own_says_is_used() -> None:
    own = dataclasses.replace(DEVICE, published=(figure(latency_ms=50.0),))
    assert estimate_latency(counts_of("resnet50", "int8"), own).latency_ns == pytest.approx(50e6, rel=0.01)


def test_no_figure_is_kept_twice() -> None:
    told = [(row.name, row.runtime, row.precision, row.threads, network) for row in published_rows() for network in row.ms]
    assert len(told) == len(set(told))


def test_an_accelerator_that_nothing_builds_for_does_not_predict_the_processor() -> None:
    assert estimate_latency(counts_of("mobilenetv2", "int8"), load_profile("qualcomm-qcs6490")).label == "unknown"


def test_every_feature_has_a_price_on_the_reference_machine() -> None:
    assert tuple(PRICES_NS) == FEATURES
    assert (reference_prices() >= 0).all()


# --- files --------------------------------------------------------------------------------------------------------------


def test_counts_and_measurements_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    write_counts(tmp_path / "c.json", network(1))
    assert read_counts(tmp_path / "c.json") == network(1)
    append_measurements(tmp_path / "m.jsonl", [timed(1)])
    append_measurements(tmp_path / "m.jsonl", [timed(2, precision="int8")])
    assert read_measurements(tmp_path / "m.jsonl") == (timed(1), timed(2, precision="int8"))


def test_counts_that_were_changed_are_refused() -> None:
    data = json.loads(to_line(timed(1)))
    data["counts"]["layers"][0][2] += 1
    with raises(ModelError, "E_MODEL_MEASUREMENTS", says="1"):
        from_line(json.dumps(data), where="m:1")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"layers": []}, ()),
        ({"schema_version": 99}, "schema_version = 99"),
        ({"layers": [[1]]}, ("layer 0", "14")),
        ({"columns": "kind"}, "c: "),
    ],
)
def test_counts_that_are_none_are_refused(change: dict[str, Any], named: tuple[str, ...] | str) -> None:
    with raises(ModelError, "E_MODEL_COUNTS", says=named):
        counts_from_data(counts_to_data(network(1)) | change, where="c")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("[]\n")
    with raises(ModelError, "E_MODEL_MEASUREMENTS", says=("m.jsonl", "1")):
        read_measurements(tmp_path / "m.jsonl")
    with raises(ModelError, "E_FILE_MISSING"):
        read_measurements(tmp_path / "none.jsonl")


def test_int8_counts_move_a_quarter() -> None:
    small = as_int8(network(1))
    assert small.precision == "int8"
    assert small.macs == network(1).macs
    assert feature_matrix([small])[0][FEATURES.index("weights")] == pytest.approx(
        features(network(1))[FEATURES.index("weights")] / 4, rel=0.01
    )
