import dataclasses

import numpy as np
import pytest

from support import factories
from support.errors import raises
from weckd_edge.artifacts import MachineRecord, MachineState, Measurement
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.compare import compare_benches, machine_differences


def measured(samples: np.ndarray | list[int], **kw: object) -> Measurement:
    base = factories.measurement([int(x) for x in samples], host="h", rules="r", peak_rss_bytes=None)
    return dataclasses.replace(base, **kw)  # type: ignore[arg-type]


def drifting(seed: int, count: int = 1500, keep: float = 0.95) -> np.ndarray:
    """Times around 1 ms whose noise fades slowly: neighbours resemble each other."""
    random = np.random.default_rng(seed)
    noise = np.empty(count)
    noise[0] = random.standard_normal() * 10
    for index in range(1, count):
        noise[index] = keep * noise[index - 1] + np.sqrt(1 - keep**2) * 10 * random.standard_normal()
    return 1_000_000 + 1000 * noise


def test_a_model_that_is_a_fifth_faster_is_faster_and_the_other_way_round_slower() -> None:
    first, second = measured(drifting(1)), measured(drifting(2) * 0.8)
    found = compare_benches(first, second)
    assert found.verdict == "faster"
    assert found.ratio_low < 0.8 < found.ratio_high or found.ratio == pytest.approx(0.8, abs=0.01)
    assert found.low_ns <= found.difference_ns <= found.high_ns < 0
    assert found.p90_high_ns < 0
    assert compare_benches(second, first).verdict == "slower"


def test_a_difference_inside_the_margin_is_not_shown() -> None:
    found = compare_benches(measured(drifting(1)), measured(drifting(2) * 0.97))
    assert found.verdict == "not shown"
    assert found.high_ns < 0  # the two runs do differ
    assert "two runs of one model may differ by 5%" in found.reason
    assert compare_benches(measured(drifting(1)), measured(drifting(2) * 0.97), margin=0.0).verdict == "faster"


def test_a_run_against_itself_is_not_shown() -> None:
    found = compare_benches(measured(drifting(1)), measured(drifting(1)), margin=0.0)
    assert (found.verdict, found.ratio, found.difference_ns) == ("not shown", 1.0, 0.0)


def test_blocks_are_as_long_as_times_resemble_each_other() -> None:
    random = np.random.default_rng(0)
    alone = 1_000_000 + 10_000 * random.standard_normal(1500)
    assert compare_benches(measured(alone), measured(alone)).block < 30
    assert compare_benches(measured(drifting(1)), measured(drifting(1))).block > 60


def test_the_interval_holds_its_confidence_for_times_that_resemble_their_neighbours() -> None:
    # 95 % of 40 is 38; drawing single times in place of blocks leaves out 0 in most of these pairs.
    missed = single = 0
    for seed in range(40):
        first, second = drifting(1000 + seed, 600), drifting(2000 + seed, 600)
        found = compare_benches(measured(first), measured(second), seed=seed)
        missed += not found.low_ns <= 0 <= found.high_ns
        random = np.random.default_rng(seed)
        drawn = [np.median((second - first)[random.integers(0, 600, 600)]) for _ in range(200)]
        low, high = np.percentile(drawn, [2.5, 97.5])
        single += not low <= 0 <= high
    assert missed <= 8
    assert single > 2 * missed


def test_frames_that_differ_cancel_in_pairs() -> None:
    frames = np.tile([1_000_000, 3_000_000, 2_000_000], 500)
    random = np.random.default_rng(0)
    first = frames + 1000 * random.standard_normal(1500)
    second = frames + 300_000 + 1000 * random.standard_normal(1500)
    found = compare_benches(measured(first), measured(second))
    assert found.difference_ns == pytest.approx(300_000, rel=0.01)
    assert found.high_ns - found.low_ns < 2000


def test_a_bench_that_is_invalid_shows_nothing() -> None:
    noisy = measured([1_000_000, 2_000_000] * 500)
    found = compare_benches(noisy, measured([100_000] * 1000))
    assert found.verdict == "not shown"
    assert "the first bench is INVALID" in found.reason


def test_unlike_devices_are_refused_unless_allowed() -> None:
    first, other = measured([1000] * 100), measured([2000] * 100, device="raspberry-pi-5", threads=4)
    with raises(
        ConfigError, "E_CONFIG_UNLIKE_DEVICES", says=("generic-x86", "raspberry-pi-5", "1", "--allow-different-devices")
    ) as caught:
        compare_benches(first, other)
    assert caught.value.exit_code == 2
    found = compare_benches(first, other, allow_different_devices=True)
    assert (found.verdict, len(found.unlike)) == ("slower", 2)


def test_another_power_mode_is_another_device_and_another_backend_is_not() -> None:
    look = MachineState(at_ns=0, cpu_khz=None, gpu_hz=None, hottest_celsius=None, hottest_zone=None, load_average=None)
    record = MachineRecord(
        before=look, during=(), after=look, mode_before="15W", mode_after="15W", throttle_events=(), shown=()
    )
    slow = measured([1000] * 100, machine=record)
    fast = measured([1000] * 100, machine=dataclasses.replace(record, mode_before="25W", mode_after="25W"))
    assert machine_differences(slow, fast) == ("power mode: 15W and 25W",)
    assert machine_differences(slow, dataclasses.replace(slow, backend="onnxruntime", precision="fp32")) == ()


def test_frames_by_numpy_and_by_the_compiled_library_are_unlike() -> None:
    compiled = measured([1000] * 100, pixels="compiled library (avx2)")
    numpy = measured([1000] * 100, pixels="NumPy, without the compiled library: it was not built")
    assert machine_differences(compiled, numpy) == ("front end: compiled library (avx2) and NumPy",)
    assert machine_differences(numpy, dataclasses.replace(numpy, pixels="NumPy, without it: for another reason")) == ()
    assert machine_differences(compiled, measured([1000] * 100)) == (), "an older record does not say"


def test_too_few_queries_are_refused() -> None:
    with raises(ConfigError, "E_CONFIG_RANGE", says=("64", "63")):
        compare_benches(measured([1000] * 63), measured([1000] * 100))


@pytest.mark.parametrize("margin", [-0.1, 1.0])
def test_a_margin_without_meaning_is_refused(margin: float) -> None:
    with raises(ConfigError, "E_CONFIG_RANGE", says=("0", "1")):
        compare_benches(measured([1000] * 64), measured([1000] * 64), margin=margin)


def test_a_long_run_is_taken_from_its_first_to_its_last() -> None:
    late = np.full(60_000, 1_000_000)
    late[30_000:] = 2_000_000
    found = compare_benches(measured(np.full(60_000, 1_000_000)), measured(late))
    assert 10_000 < found.queries <= 20_000
    assert found.difference_ns in (0, 500_000, 1_000_000)
    assert found.high_ns == 1_000_000
