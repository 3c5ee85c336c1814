"""Tables from stored values to 8 bits: rescale, window, tables of the header, palettes. Each value is rounded once.

Written by DICOM PS3.3 C.7.6.3, C.11.1 and C.11.2, as a table of all values that 8 or 16 bits can hold: pydicom's functions
hold whole pictures in float64, and index tables of 8 bits with 8 bits where they have more entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import DataNote
from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.dicom import head as tags
from weckd_edge.devices.images.dicom.elements import Elements, Value
from weckd_edge.devices.images.dicom.head import Head, decimal_of, text_of, whole_numbers
from weckd_edge.devices.images.notes import BY_WINDOW, NO_WINDOW

Numbers = NDArray[np.float64]
Levels = NDArray[np.uint8]

_WINDOW = (tags.WINDOW_CENTRE, tags.WINDOW_WIDTH, tags.WINDOW_FUNCTION)
_RESCALE = (tags.INTERCEPT, tags.SLOPE)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Table:
    """A table of the header: its entries, the value that the first one is for, and the largest entry that there may be."""

    entries: Numbers
    first: int
    top: int

    def at(self, values: Numbers) -> Numbers:
        """Return the entries for values; those beyond an end have that end's."""
        places = np.clip(np.trunc(values - self.first), 0, len(self.entries) - 1).astype(np.int64)
        found: Numbers = self.entries[places]
        return found


def level_table(head: Head, frame: int = 0) -> tuple[Levels, DataNote | None]:
    """Return the levels of all values that a file may store, by their bits read as a number without sign.

    Args:
        head: What the file's header says.
        frame: Number of the frame, whose window may be its own.

    Returns:
        uint8 ``[256]`` or ``[65536]``, with ``3`` columns for a palette; and what made greys of the values, if it is to be
        said.

    Raises:
        DataError: The header's tables are damaged.
    """
    unsigned = np.arange(1 << head.allocated, dtype=np.uint32).astype(f"u{head.allocated // 8}")
    stored = (unsigned.view(f"i{head.allocated // 8}") if head.signed else unsigned).astype(np.float64)
    if head.photometric == "PALETTE COLOR":
        return _palette(head, stored), None
    if head.samples == 3:
        return _levels(stored / ((1 << head.stored) - 1)), None
    fractions, note = _greys(head, stored, frame)
    levels = _levels(fractions)
    return (255 - levels if head.photometric == "MONOCHROME1" else levels), note


def _levels(fractions: Numbers) -> Levels:
    return np.floor(fractions.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _palette(head: Head, stored: Numbers) -> Levels:
    """Return the colours of stored values, uint8 ``[N, 3]``."""
    values = head.source.elements.values
    colours = []
    for n in range(3):
        descriptor, data = values.get(tags.PALETTE_DESCRIPTOR + n), values.get(tags.PALETTE_DATA + n)
        if descriptor is None or data is None:
            raise _damaged("its palette is missing")
        table = _table(head, descriptor, data)
        colours.append(_levels(table.at(stored) / table.top))
    return np.stack(colours, axis=1)


def _greys(head: Head, stored: Numbers, frame: int) -> tuple[Numbers, DataNote | None]:
    """Return how bright stored values are, 0..1, and what made them so."""
    own = _grey_elements(head, frame)
    least = -(1 << head.stored - 1) if head.signed else 0
    bounds = np.array([least, least + (1 << head.stored) - 1], np.float64)
    table = _listed_table(head, own, tags.MODALITY_TABLE)
    if table is not None:
        real, bounds = table.at(stored), np.array([0, table.top], np.float64)
    else:
        slope, intercept = decimal_of(own.values.get(tags.SLOPE)), decimal_of(own.values.get(tags.INTERCEPT))
        if slope == 0:
            raise _damaged("its rescale slope is 0")
        if slope is not None and intercept is not None:
            stored, bounds = stored * slope + intercept, bounds * slope + intercept
        real = stored
    shown = _listed_table(head, own, tags.VOI_TABLE)
    if shown is not None:
        return shown.at(real) / shown.top, DataNote(code=BY_WINDOW, text="greys by the table (VOI LUT) of its header")
    window = _windowed(own, real)
    if window is not None:
        return window, DataNote(code=BY_WINDOW, text="greys by the first window of its header")
    low, high = bounds.min(), bounds.max()
    text = f"its header names no window; all {head.stored} bits of its values are scaled to 8"
    return (real - low) / (high - low), DataNote(code=NO_WINDOW, text=text) if head.stored > 8 else None


def _windowed(own: Elements, real: Numbers) -> Numbers | None:
    """Return how bright values are by the first window, 0..1; None where there is none that can be used."""
    centre, width = decimal_of(own.values.get(tags.WINDOW_CENTRE)), decimal_of(own.values.get(tags.WINDOW_WIDTH))
    function = text_of(own.values.get(tags.WINDOW_FUNCTION)) or "LINEAR"
    if centre is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    if function == "SIGMOID":
        bright: Numbers = 1 / (1 + np.exp((-4 * (real - centre) / width).clip(-700, 700)))
        return bright
    if function == "LINEAR_EXACT":
        return (real - centre) / width + 0.5
    if function != "LINEAR":
        return None
    if width == 1:
        return (real > centre - 0.5).astype(np.float64)
    return (real - (centre - 0.5)) / (width - 1) + 0.5


def _grey_elements(head: Head, frame: int) -> Elements:
    """Return the elements that make greys: those of the file, and over them those of all frames together, and of one."""
    source = head.source
    values, items = dict(source.elements.values), dict(source.elements.items)
    for group, n in ((tags.SHARED_GROUPS, 0), (tags.FRAME_GROUPS, frame)):
        places = items.get(group, [])
        if n >= len(places):
            continue
        inner = source.inside(places[n], (), (tags.FRAME_VOI, tags.FRAME_RESCALE))
        for sequence in inner.items.values():
            for place in sequence[:1]:
                found = source.inside(place, (*_WINDOW, *_RESCALE), (tags.VOI_TABLE,))
                values.update(found.values)
                items.update(found.items)
    return Elements(values=values, items=items)


def _listed_table(head: Head, own: Elements, tag: int) -> _Table | None:
    """Return the first table of a sequence of tables; None where there is none."""
    places = own.items.get(tag)
    if not places:
        return None
    found = head.source.inside(places[0], (tags.TABLE_DESCRIPTOR, tags.TABLE_DATA)).values
    if tags.TABLE_DESCRIPTOR not in found or tags.TABLE_DATA not in found:
        return None
    return _table(head, found[tags.TABLE_DESCRIPTOR], found[tags.TABLE_DATA])


def _table(head: Head, descriptor: Value, data: Value) -> _Table:
    count, first, bits = whole_numbers(head.source, descriptor, 3)
    count = count or 1 << 16
    if first >= 1 << 15 and (descriptor.vr == "SS" or (not descriptor.vr and head.signed)):
        first -= 1 << 16
    width = 2 if len(data.data) >= 2 * count else 1
    if len(data.data) < width * count or not 1 <= bits <= 16:
        raise _damaged("a table of its header is shorter than it says")
    entries = np.frombuffer(data.data, f"{head.source.encoding.order}u{width}", count).astype(np.float64)
    top = (1 << bits) - 1
    return _Table(entries=entries, first=first, top=top if entries.max() <= top else (1 << 8 * width) - 1)


def _damaged(reason: str) -> DataError:
    return DataError(f"damaged header ({reason})", code="E_DATA_IMAGE_DAMAGED")
