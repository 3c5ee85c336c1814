"""The pages of a study and a bench stand in the same frame as the report: they are tried for the same readers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import factories
from weckd_edge.artifacts import MachineRecord, MachineState
from weckd_edge.metrics.crossed_clusters import MeanInterval
from weckd_edge.report.bench_page import bench_page
from weckd_edge.report.study_page import StudyPage, StudyRow, write_study

pytestmark = pytest.mark.slow


def study(path: Path) -> None:
    rows = tuple(
        StudyRow(
            name=name,
            labels=57,
            images=569,
            by_seed=(mean - 0.03, mean + 0.03),
            mean=mean,
            low=mean - 0.1,
            high=mean + 0.1,
            gain=gain,
            gain_low=None if gain is None else gain - 0.05,
            gain_high=None if gain is None else gain + 0.05,
            seconds=61.0,
            cpu_seconds=120.0,
            joules=None,
            cost_ratio=1.5,
            by_group=MeanInterval(mean=mean, low=mean - 0.05, high=mean + 0.05),
            gain_by_group=None if gain is None else MeanInterval(mean=gain, low=gain - 0.02, high=gain + 0.02),
        )
        for name, mean, gain in (("single-subset", 0.6, None), ("weckd", 0.7, 0.1))
    )
    write_study(
        StudyPage(dataset="ears", synthetic=True, labelled_fraction=0.1, seeds=2, rows=rows, verdicts=("It helped.",)), path
    )


def bench(path: Path) -> None:
    times = np.random.default_rng(0).gamma(40, 2e4, 400).astype(int)
    state = MachineState(
        at_ns=0, cpu_khz=2_400_000, gpu_hz=None, hottest_celsius=51.5, hottest_zone="cpu", load_average=0.2, throttling=()
    )
    record = MachineRecord(
        before=state, during=(state,), after=state, mode_before=None, mode_after=None, throttle_events=(), shown=("clocks",)
    )
    found = factories.measurement(
        times,
        device="raspberry-pi-5",
        host="Raspberry Pi 5",
        rules="single-stream, 400 queries",
        cold_start_ns=1_000_000,
        warnings=("the clock was not fixed",),
        machine=record,
    )
    path.write_text(bench_page(found, "INVALID", "a noisy machine"), encoding="utf-8")


@pytest.mark.parametrize("write", [study, bench])
@pytest.mark.parametrize(("size", "dark"), [((1280, 900), False), ((390, 844), True)])
def test_everyone_can_read_it(browser: Any, tmp_path: Path, write: Any, size: tuple[int, int], dark: bool) -> None:
    path = tmp_path / "page.html"
    write(path)
    with browser.tab(size=size, dark=dark) as tab:
        tab.page.goto(path.as_uri())
        assert tab.page.locator("#theme").is_visible()
        assert tab.violations() == []
        assert tab.overflow() == 0
        assert tab.complaints == []
        assert tab.requests == [path.as_uri()]
