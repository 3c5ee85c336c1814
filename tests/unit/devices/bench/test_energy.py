import pytest

from weckd_edge.devices.bench.power.base import Reading
from weckd_edge.devices.bench.power.energy import distinct_readings, energy_of, mean_power_mw
from weckd_edge.devices.bench.power.null_source import NullSource

SECOND = 1_000_000_000


class Meter(NullSource):
    name = "meter"

    def __init__(self) -> None:
        super().__init__()
        self.rails = ("ALL",)


def power(*pairs: tuple[float, float]) -> list[Reading]:
    return [Reading(at_ns=round(at * SECOND), power_mw=mw) for at, mw in pairs]


def energy(*pairs: tuple[float, float]) -> list[Reading]:
    return [Reading(at_ns=round(at * SECOND), energy_mj=mj) for at, mj in pairs]


def span(start: float, end: float) -> tuple[int, int]:
    return round(start * SECOND), round(end * SECOND)


IDLE_THEN_BUSY = power(*((at / 10, 2000.0 if at < 20 else 5000.0) for at in range(41)))


def test_power_between_two_readings_is_a_straight_line() -> None:
    readings = power((0, 1000), (1, 3000))
    assert mean_power_mw(readings, *span(0, 1)) == pytest.approx(2000)
    assert mean_power_mw(readings, *span(0.25, 0.75)) == pytest.approx(2000)
    assert mean_power_mw(readings, *span(0.5, 1)) == pytest.approx(2500)


def test_a_counters_rise_is_even_between_two_readings() -> None:
    readings = energy((0, 0), (1, 1000), (2, 5000))
    assert mean_power_mw(readings, *span(0, 2)) == pytest.approx(2500)
    assert mean_power_mw(readings, *span(0.5, 1.5)) == pytest.approx(2500)
    assert mean_power_mw(readings, *span(1, 1.5)) == pytest.approx(4000)


@pytest.mark.parametrize("outside", [(-1, 1), (1, 3), (1, 1), (2, 1)])
def test_a_span_without_readings_around_it_has_no_power(outside: tuple[float, float]) -> None:
    assert mean_power_mw(power((0, 1), (2, 1)), *span(*outside)) is None
    assert mean_power_mw(power((0, 1)), *span(0, 0.1)) is None


def test_energy_is_of_the_timed_run_alone_and_idle_is_taken_off() -> None:
    found = energy_of(Meter(), IDLE_THEN_BUSY, idle=span(0, 1.5), run=span(2, 4), frames=100)
    assert (found.source, found.rails, found.reason) == ("meter", ("ALL",), None)
    assert found.idle_mw == pytest.approx(2000)
    assert found.run_mw == pytest.approx(5000)
    assert found.gross_mj == pytest.approx(100)
    assert found.net_mj == pytest.approx(60)
    assert found.readings == 21
    assert found.resolution_mj == pytest.approx(100 / 21)


def test_a_meter_of_energy_gives_the_same() -> None:
    total, readings = 0.0, []
    for at in range(41):
        readings.append((at / 10, total))
        total += 200 if at < 20 else 500
    found = energy_of(Meter(), energy(*readings), idle=span(0, 1.5), run=span(2, 4), frames=100)
    assert (found.gross_mj, found.net_mj) == (pytest.approx(100), pytest.approx(60))


def test_too_few_readings_give_no_energy_and_the_reason() -> None:
    found = energy_of(Meter(), IDLE_THEN_BUSY, idle=span(0, 1.5), run=span(2.05, 2.95), frames=100)
    assert (found.readings, found.gross_mj, found.net_mj, found.resolution_mj) == (9, None, None, None)
    assert found.reason == "9 readings in a run of 0.90 s; energy needs 10: run it longer"


def test_readings_that_end_early_give_no_energy() -> None:
    found = energy_of(Meter(), IDLE_THEN_BUSY[:-3], idle=span(0, 1.5), run=span(2, 4), frames=100)
    assert (found.net_mj, found.reason) == (None, "the readings of meter do not span the timed run")
    told = energy_of(Meter(), IDLE_THEN_BUSY, idle=span(0, 1), run=span(2, 4), frames=1, trouble="the cable fell out")
    assert (told.net_mj, told.reason) == (None, "the cable fell out")


def test_a_run_that_draws_no_more_than_idle_has_no_energy_of_its_own() -> None:
    flat = power(*((at / 10, 2000.0) for at in range(41)))
    found = energy_of(Meter(), flat, idle=span(0, 1.5), run=span(2, 4), frames=10)
    assert found.net_mj is None
    assert found.gross_mj == pytest.approx(400)
    assert "no more than idle" in str(found.reason)


def test_without_idle_power_only_the_whole_is_known() -> None:
    found = energy_of(Meter(), IDLE_THEN_BUSY, idle=span(1, 1), run=span(2, 4), frames=100)
    assert (found.net_mj, found.gross_mj) == (None, pytest.approx(100))
    assert found.reason == "idle power was not read before the run"


def test_a_counter_that_stands_still_is_one_reading_at_each_end() -> None:
    held = distinct_readings(energy((0, 5), (1, 5), (2, 5), (3, 5), (4, 6), (4, 7)))
    assert [(r.at_ns // SECOND, r.energy_mj) for r in held] == [(0, 5), (3, 5), (4, 6)]
