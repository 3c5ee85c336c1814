"""Tests that compare int8 with full-range weights to something exact need a processor that adds it up exactly."""

from __future__ import annotations

import pytest

from weckd_edge.devices.machine.detect import detect

SATURATES = detect().overflow_fix_needed is True
needs_exact_int8 = pytest.mark.skipif(SATURATES, reason="sums of 8-bit products saturate on this processor: it has no VNNI")
