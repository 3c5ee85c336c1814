"""Settle which weights each link starts from, where the settings leave that to other links or to what can be had here."""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace

import timm

from weckd_edge.config import LinkConfig
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require
from weckd_edge.train.networks.models import create_student

_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names under which timm looks for a model's weights on the hub, in this order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SettledLinks:
    """Links of which each says itself what weights it starts from.

    Attributes:
        links: The links, in the order they were given.
        missing: Sentence on weights that cannot be had, what is used instead, what that costs and what to do; empty where
            nothing is missing.
    """

    links: tuple[LinkConfig, ...]
    missing: str = ""


def settle_weights(links: Sequence[LinkConfig]) -> SettledLinks:
    """Return links that say themselves what weights they start from.

    A link that leaves it open takes the weights that another link of its model names. ``pretrained = "if_available"``
    becomes true where the weights can be had, and false where they can not; links of one model are treated alike. Weights
    are fetched here, so that nothing is asked of a network later.
    """
    links = [_with_weights(link, links) for link in links]
    wanted = tuple(dict.fromkeys(link.model for link in links if link.pretrained == "if_available"))
    reasons = {model: _why_missing(model) for model in wanted}
    missing = {model: why for model, why in reasons.items() if why}
    settled = tuple(
        replace(link, pretrained=link.model not in missing) if link.pretrained == "if_available" else link for link in links
    )
    if not missing:
        return SettledLinks(links=settled)
    return SettledLinks(
        links=settled,
        missing=(
            f"The pretrained weights of {', '.join(missing)} cannot be had here ({'; '.join(missing.values())}). Links of "
            "it start from random weights instead, and need many more images and steps to become as good. Connect to a "
            'network once, or name a file of weights: weights = "file.safetensors" in [[link]].'
        ),
    )


def _with_weights(link: LinkConfig, chain: Sequence[LinkConfig]) -> LinkConfig:
    """Return a link with weights of its own, those of the first link of its model that names some, or none."""
    if link.weights or link.pretrained is not None:
        return link
    source = next((one for one in chain if _is_same_model(one, link) and (one.weights or one.pretrained)), None)
    if source is None:
        return replace(link, pretrained=False)
    licence = link.weights_licence or source.weights_licence
    taken = replace(link, weights=source.weights, pretrained=source.pretrained, weights_licence=licence)
    return taken if link.mean else replace(taken, mean=source.mean, std=source.std)


def _is_same_model(one: LinkConfig, other: LinkConfig) -> bool:
    return (one.model, one.options) == (other.model, other.options)


def _why_missing(model: str) -> str:
    """Return why a model's weights cannot be had; an empty text where they can."""
    if is_cached(model):
        return ""
    if not can_fetch():
        return "the cache does not hold them, and the hub they come from cannot be reached"
    try:
        create_student(LinkConfig(model=model, pretrained=True), 2)
    except ModelError as err:
        if err.code != "E_MODEL_FETCH":
            raise
        return "the cache does not hold them, and the hub they come from does not give them"
    return ""


def is_cached(model: str) -> bool:
    """Tell whether the cache of the hub holds the weights of a timm model, so that nothing needs to be fetched."""
    hub = require("huggingface_hub", "find pretrained weights")
    found = timm.get_pretrained_cfg(model) if timm.is_model(model) else None
    if found is None or not found.hf_hub_id:
        return False
    name, _, revision = found.hf_hub_id.partition("@")
    files = (found.hf_hub_filename,) if found.hf_hub_filename else _FILES
    return any(isinstance(hub.try_to_load_from_cache(name, file, revision=revision or None), str) for file in files)


def can_fetch(timeout_s: float = 5.0) -> bool:
    """Tell whether the hub that timm's pretrained weights come from can be reached, and may be (``HF_HUB_OFFLINE``)."""
    constants = require("huggingface_hub.constants", "fetch pretrained weights")
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        with urllib.request.urlopen(constants.ENDPOINT, timeout=timeout_s):
            return True
    except (OSError, ValueError):
        return False
