import dataclasses
import json
import re
import struct
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import factories
from support.errors import raises
from weckd_edge.artifacts import EarlyStop, LoadgenRecord, MachineRecord, MachineState, Measurement, PowerRecord
from weckd_edge.core.errors import StoreError, WeckdError
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.devices.bench.folder import FRAME, NETWORK, BenchFolder, close_cut_off, read_bench, recover_run
from weckd_edge.devices.bench.percentiles import summarize_latency
from weckd_edge.devices.bench.power.base import Reading
from weckd_edge.devices.bench.power.replay_source import read_recording
from weckd_edge.devices.bench.verdict import verdict_of
from weckd_edge.report.bench_page import write_bench_page

SAMPLES = [int(x) for x in np.random.default_rng(0).normal(1e6, 2e4, 500)]


def look(at_ns: int, *throttling: str) -> MachineState:
    return MachineState(
        at_ns=at_ns,
        cpu_khz=1_500_000,
        gpu_hz=None,
        hottest_celsius=51.5,
        hottest_zone="cpu-thermal",
        load_average=0.1,
        throttling=throttling,
    )


FULL = factories.measurement(
    SAMPLES,
    device="raspberry-pi-5",
    host="Raspberry Pi 5 <Model B>",
    rules="quick",
    network=summarize_latency([x // 2 for x in SAMPLES]),
    cold_start_ns=5_000_000,
    energy_mj=2.5,
    warnings=("a & b",),
    generator="LoadGen 6.0.17",
    duration_ns=sum(SAMPLES),
    early_stopping=(EarlyStop(percent=90, estimate_ns=1_040_000, confidence=0.99, over=35, needed=64),),
    loadgen=LoadgenRecord(
        version="LoadGen 6.0.17",
        valid=True,
        queries=500,
        p90_ns=1,
        p99_ns=2,
        early_stopping_p90_ns=3,
        early_stopping_p99_ns=None,
    ),
    power=PowerRecord(
        source="ina3221",
        rails=("VDD_IN",),
        idle_mw=2000.0,
        run_mw=4500.0,
        gross_mj=4.5,
        net_mj=2.5,
        resolution_mj=0.1,
        readings=40,
    ),
    machine=MachineRecord(
        before=look(-10),
        during=(look(0), look(250_000_000, "throttled")),
        after=look(500_000_000),
        mode_before="governor performance",
        mode_after="governor performance",
        throttle_events=(),
        shown=("processor clock",),
    ),
)


def write(folder: Path, measurement: Measurement = FULL) -> Path:
    kept = BenchFolder(folder)
    with kept.stream(FRAME, measurement) as sink:
        sink(array("q", measurement.end_to_end.samples_ns))
    kept.finish(measurement, [Reading(at_ns=1, power_mw=2000.0), Reading(at_ns=2, power_mw=4500.0)])
    return folder


def test_a_measurement_is_the_same_through_json_and_back() -> None:
    assert from_json(Measurement, to_json(FULL), where="m", error=WeckdError) == FULL


def test_what_was_kept_is_read_again_with_every_time(tmp_path: Path) -> None:
    assert read_bench(write(tmp_path / "a/b")) == FULL
    assert sorted(path.name for path in (tmp_path / "a/b").iterdir()) == [
        "measurement.json",
        "power.jsonl",
        "samples.npz",
    ]
    assert json.loads((tmp_path / "a/b/measurement.json").read_text())["end_to_end"]["samples_ns"] == []
    assert [r.power_mw for r in read_recording(tmp_path / "a/b/power.jsonl")] == [2000.0, 4500.0]


def test_times_take_little_room(tmp_path: Path) -> None:
    many = dataclasses.replace(FULL, end_to_end=summarize_latency(SAMPLES * 40), network=None)
    write(tmp_path / "b", many)
    assert (tmp_path / "b/samples.npz").stat().st_size < 8 * len(SAMPLES) * 40 / 2


def test_a_folder_with_a_bench_is_not_written_over(tmp_path: Path) -> None:
    write(tmp_path / "b")
    with raises(StoreError, "E_STORE_OCCUPIED"):
        BenchFolder(tmp_path / "b")


def cut_off(folder: Path, extra: bytes = b"", **samples: list[int]) -> Path:
    kept = BenchFolder(folder)
    draft = dataclasses.replace(FULL, end_to_end=dataclasses.replace(FULL.end_to_end, samples_ns=()), network=None)
    for name, times in samples.items():
        with kept.stream(name, draft) as sink:  # and then the process is gone: nobody calls finish
            sink(array("q", times[:50]))
            sink(array("q", times[50:]))
    with (folder / f"{FRAME}.ns.partial").open("ab") as file:
        file.write(extra)
    return folder


def test_times_are_on_the_disk_while_the_run_goes_on(tmp_path: Path) -> None:
    kept = BenchFolder(tmp_path / "b")
    with kept.stream(FRAME, FULL) as sink:
        sink(array("q", [5, 6]))
        assert (tmp_path / "b/end_to_end.ns.partial").read_bytes() == struct.pack("<2q", 5, 6)
        assert recover_run(tmp_path / "b").end_to_end.samples_ns == (5, 6)


def test_a_run_that_was_cut_off_is_recovered_and_never_valid(tmp_path: Path) -> None:
    found = recover_run(cut_off(tmp_path / "b", b"\1\2\3", **{FRAME: SAMPLES, NETWORK: SAMPLES[:60]}))
    assert found.end_to_end.samples_ns == tuple(SAMPLES)
    assert found.network is not None
    assert len(found.network.samples_ns) == 60
    assert (found.rules_met, found.host) == (False, FULL.host)
    assert "the run was cut off after 500 queries" in found.warnings
    verdict, reason = verdict_of(found)
    assert verdict == "INVALID"
    assert "shorter than its rules ask" in reason


def test_an_unfinished_folder_is_not_taken_for_a_bench(tmp_path: Path) -> None:
    with raises(StoreError, "E_STORE_BENCH", says="measurement.json"):
        read_bench(cut_off(tmp_path / "b", **{FRAME: SAMPLES}))
    with raises(StoreError, "E_STORE_BENCH", says=("weckd-edge bench", "--out")):
        read_bench(tmp_path / "none")


def test_a_run_without_one_time_cannot_be_recovered(tmp_path: Path) -> None:
    with raises(StoreError, "E_STORE_BENCH"):
        recover_run(cut_off(tmp_path / "b", b"\1", **{FRAME: []}))


@pytest.mark.parametrize("harm", ["gone", "cut short", "others", "without the network"])
def test_times_that_do_not_belong_to_the_record_are_refused(tmp_path: Path, harm: str) -> None:
    path = write(tmp_path / "b") / "samples.npz"
    if harm == "gone":
        path.unlink()
    elif harm == "cut short":
        path.write_bytes(path.read_bytes()[:200])
    else:
        arrays: dict[str, Any] = {FRAME: np.array(SAMPLES, "<i8")}
        if harm == "others":
            arrays |= {NETWORK: np.array(SAMPLES, "<i8")}
        np.savez(path, **arrays)
    with raises(StoreError, "E_FILE_MISSING" if harm == "gone" else "E_STORE_BENCH", says="samples.npz"):
        read_bench(tmp_path / "b")


def test_the_page_shows_both_pictures_and_is_safe(tmp_path: Path) -> None:
    page = write_bench_page(tmp_path, FULL).read_text()
    assert page.count("<svg") == 2
    assert "Raspberry Pi 5 &lt;Model B&gt;" in page
    assert "<Model" not in page
    assert "a &amp; b" in page
    for words in ("INVALID", "p90 with 99%", "energy per frame above idle", "51.5 °C (cpu-thermal)", "governor performance"):
        assert words in page, words
    assert re.search(r"https?://", page) is None
    assert "dots: throttled" in page
    assert "Machine during the run" in page
    heads = re.findall(r"<th scope=\"col\">([^<]*)</th>", page)
    assert heads == ["state", "time", "processor", "hottest zone", "load", "throttling"]  # this machine shows no GPU's clock


def test_a_page_of_little_is_written_too(tmp_path: Path) -> None:
    bare = dataclasses.replace(
        FULL,
        end_to_end=summarize_latency([0, 0, 5]),
        network=None,
        energy_mj=None,
        power=None,
        machine=None,
        early_stopping=(),
        peak_rss_bytes=None,
        warnings=(),
    )
    page = write_bench_page(tmp_path, bare).read_text()
    assert "cannot be measured on this machine" in page
    assert "Machine during the run" not in page


def test_a_run_that_was_cut_off_becomes_a_bench_that_is_never_valid(tmp_path: Path) -> None:
    kept = BenchFolder(tmp_path / "b")
    with kept.stream(FRAME, FULL) as sink:
        sink(array("q", SAMPLES))
    found = close_cut_off(tmp_path / "b", "the connection was lost")
    assert found.end_to_end.samples_ns == tuple(SAMPLES)
    assert read_bench(tmp_path / "b") == found
    verdict, reason = verdict_of(found)
    assert verdict == "INVALID"
    assert "the run was cut off after 500 queries: the connection was lost" in reason
    assert "shorter than its rules" not in reason
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["measurement.json", "samples.npz"]


def test_a_run_that_was_cut_off_before_its_first_times_stays_what_it_is(tmp_path: Path) -> None:
    with BenchFolder(tmp_path / "b").stream(FRAME, FULL):
        pass
    with raises(StoreError, "E_STORE_BENCH"):
        close_cut_off(tmp_path / "b", "the connection was lost")
    assert (tmp_path / "b/started.json").exists()


def write_samples(folder: Path, **arrays: Any) -> None:
    np.savez_compressed(folder / "samples.npz", **arrays)


def test_a_few_bytes_that_stand_for_many_times_are_refused_before_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BenchFolder(tmp_path / "b").finish(FULL)
    monkeypatch.setattr("weckd_edge.devices.bench.folder.MAX_BYTES", 1 << 20)
    write_samples(tmp_path / "b", end_to_end=np.zeros(1 << 20, "<i8"))
    assert (tmp_path / "b/samples.npz").stat().st_size < 1 << 20
    with raises(StoreError, "E_STORE_BENCH", says=("1", "8")):
        read_bench(tmp_path / "b")


@pytest.mark.parametrize("times", [np.zeros((2, 2), "<i8"), np.zeros(3), np.array(["a"])], ids=["rows", "floats", "texts"])
def test_times_of_another_kind_are_refused(times: Any, tmp_path: Path) -> None:
    BenchFolder(tmp_path / "b").finish(FULL)
    write_samples(tmp_path / "b", end_to_end=times, network=times)
    with raises(StoreError, "E_STORE_BENCH", says="int64"):
        read_bench(tmp_path / "b")


def test_an_array_in_place_of_the_archive_of_times_is_refused(tmp_path: Path) -> None:
    BenchFolder(tmp_path / "b").finish(FULL)
    with (tmp_path / "b/samples.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with raises(StoreError, "E_STORE_BENCH"):
        read_bench(tmp_path / "b")
