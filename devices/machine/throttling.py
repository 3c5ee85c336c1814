"""Signs and counters of throttling that a machine shows: the files, and the meaning of their text.

``doctor`` reads these files once, a bench holds them open and reads them again and again; both look at the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.devices.machine.sysfs import as_number, numbered, read_text

_THERMAL = "sys/class/thermal"
_SLOWS_DOWN = re.compile(r"cpu|processor|gpu|devfreq|throttle", re.IGNORECASE)
"""Kinds of cooling devices that lower a clock; others show settings there."""

_FAN = re.compile(r"fan", re.IGNORECASE)
_ALARMS = ("sys/class/hwmon/hwmon*/curr*_alarm", "sys/bus/i2c/devices/*/hwmon/hwmon*/curr*_alarm")
_X86_COUNTS = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/{}_throttle_count"
_OVER_CURRENT = "sys/class/hwmon/hwmon*/oc*_event_cnt"
"""Files that count over-current events of a Jetson's soctherm."""

_PI = "sys/devices/platform/soc*/soc*:firmware/get_throttled"
_PI_BITS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
_PI_SINCE_START = 16
"""Distance to the bits that say that the same has happened since the start, from Raspberry Pi's documentation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ThrottlingSign:
    """A file that shows whether something slows the machine down now.

    Attributes:
        file: Path of the file.
        tell: Function from the file's text to words: empty where nothing slows the machine down, None where the text is
            not what was expected.
    """

    file: Path
    tell: Callable[[str], tuple[str, ...] | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ThrottlingCounter:
    """A file that counts how often the machine was slowed down since its start.

    Attributes:
        file: Path of the file.
        name: Name of the counter, unique on a machine.
        words: Meaning of counters of this kind, with ``{}`` in place of the number.
        read: Function from the file's text to the number; None where the text is none.
    """

    file: Path
    name: str
    words: str
    read: Callable[[str], int | None]


def find_throttling_signs(root: Path) -> tuple[ThrottlingSign, ...]:
    """Find the files that show throttling now.

    They are temperatures, held against the trips at which the kernel slows the chip; cooling devices that lower a clock;
    alarms of a rail's current; and the bits of a Raspberry Pi's firmware.
    """
    return (
        *_zones(root),
        *_cooling(root),
        *_alarms(root),
        *(ThrottlingSign(file=file, tell=_pi_now) for file in _pi_files(root)),
    )


def find_throttling_counters(root: Path) -> tuple[ThrottlingCounter, ...]:
    """Find the counters of throttling: x86's thermal interrupts, over-current events, a Raspberry Pi's bits (0 or 1)."""
    found = []
    for kind in ("core", "package"):
        for file in numbered(root, _X86_COUNTS.format(kind)):
            name = f"{file.parents[1].name} {file.name}"
            found.append(
                ThrottlingCounter(file=file, name=name, words="the processor was throttled {} times", read=as_number)
            )
    for file in sorted(root.glob(_OVER_CURRENT)):
        words = "the supply's current was over its limit {} times"
        found.append(ThrottlingCounter(file=file, name=file.name, words=words, read=as_number))
    for file in _pi_files(root):
        for bit, text in _PI_BITS.items():
            words = f"{text} since the start"
            found.append(ThrottlingCounter(file=file, name=words, words=words, read=_pi_since_start(bit)))
    return tuple(found)


def read_throttling(root: Path) -> tuple[str, ...] | None:
    """Return the causes that slow the machine down now, in words; empty: there are none; None: nothing would show one."""
    reasons = [words for sign in find_throttling_signs(root) if (words := sign.tell(read_text(sign.file))) is not None]
    return tuple(dict.fromkeys(word for words in reasons for word in words)) if reasons else None


def read_throttled_before(root: Path) -> tuple[str, ...]:
    """Return the causes that have slowed the machine down since its start, in words; empty where no counter shows any."""
    maximum: dict[str, int] = {}
    for count in find_throttling_counters(root):
        maximum[count.words] = max(maximum.get(count.words, 0), count.read(read_text(count.file)) or 0)
    return tuple(words.format(number) for words, number in maximum.items() if number)


def _zones(root: Path) -> Iterator[ThrottlingSign]:
    for zone in numbered(root / _THERMAL, "thermal_zone*"):
        trip = _passive_trip(zone)
        if trip is not None and (zone / "temp").exists():
            words = f"{read_text(zone / 'type') or zone.name} has reached its limit of {trip / 1000:g} C"
            yield ThrottlingSign(file=zone / "temp", tell=_from(trip, words))


def _passive_trip(zone: Path) -> int | None:
    """Return the lowest temperature, thousandths of a degree, at which the kernel slows the chip down."""
    trips = [
        degrees
        for kind in zone.glob("trip_point_*_type")
        if read_text(kind) == "passive"
        and (degrees := as_number(read_text(kind.with_name(kind.name.replace("_type", "_temp"))))) is not None
    ]
    return min((trip for trip in trips if trip > 0), default=None)


def _cooling(root: Path) -> Iterator[ThrottlingSign]:
    for device in numbered(root / _THERMAL, "cooling_device*"):
        kind = read_text(device / "type")
        if _SLOWS_DOWN.search(kind) and not _FAN.search(kind):
            yield ThrottlingSign(file=device / "cur_state", tell=_from(1, f"{kind} is held back (step {{}})"))


def _alarms(root: Path) -> Iterator[ThrottlingSign]:
    seen = set()
    for file in (path for pattern in _ALARMS for path in sorted(root.glob(pattern))):
        if (real := file.resolve()) not in seen:
            seen.add(real)
            channel = re.sub(r"\D.*", "", file.name.removeprefix("curr"))
            rail = read_text(file.with_name(f"in{channel}_label")) or file.name
            yield ThrottlingSign(file=file, tell=_from(1, f"{rail} draws more current than its limit"))


def _from(minimum: int, words: str) -> Callable[[str], tuple[str, ...] | None]:
    def tell(text: str) -> tuple[str, ...] | None:
        number = as_number(text)
        if number is None:
            return None
        return (words.format(number),) if number >= minimum else ()

    return tell


def _pi_files(root: Path) -> list[Path]:
    return sorted(root.glob(_PI))


def _bits(text: str) -> int | None:
    return int(text, 16) if re.fullmatch(r"(0x)?[0-9a-fA-F]+", text) else None


def _pi_now(text: str) -> tuple[str, ...] | None:
    bits = _bits(text)
    return None if bits is None else tuple(words for bit, words in _PI_BITS.items() if bits >> bit & 1)


def _pi_since_start(bit: int) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        bits = _bits(text)
        return None if bits is None else bits >> (bit + _PI_SINCE_START) & 1

    return read
