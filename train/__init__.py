"""Data, data audit, and the training of the chain. It meets the compile stage only in ``weckd_edge.artifacts``."""

from weckd_edge.core import telemetry

telemetry.switch_off_telemetry()  # timm and its friends are imported at the top of the modules here, not through ``require``
