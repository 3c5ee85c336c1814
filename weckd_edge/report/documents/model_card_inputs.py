"""Statements that only the builder can make, from the settings ``[model_card]`` in the evidence."""

from __future__ import annotations

import json

from weckd_edge.artifacts import BuildRecord
from weckd_edge.config import ModelCardConfig
from weckd_edge.core.errors import BundleError
from weckd_edge.core.serialization import from_data

NOT_STATED = "not stated by the builder"


def stated(build: BuildRecord) -> ModelCardConfig:
    """Return the builder's statements; empty for a bundle without them.

    Raises:
        BundleError: The settings in the evidence are not those of a build.
    """
    try:
        config = json.loads(build.config)
    except ValueError as err:
        raise BundleError(
            f"build.json: expected the configuration as JSON, found something else ({err})", code="E_BUNDLE_EVIDENCE"
        ) from err
    card = config.get("model_card", {}) if isinstance(config, dict) else {}
    return from_data(ModelCardConfig, card, where="build.json: config.model_card", error=BundleError)
