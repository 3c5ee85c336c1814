"""Comparison of settings, models, thresholds and software of two bundles, by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from weckd_edge.artifacts import ChangedField
from weckd_edge.report.diff.bundle_pair import BundleSide, Data

Facts = dict[str, str]
Reader = Callable[[BundleSide], Facts | None]

_THRESHOLDS = ("gates", "guard", "abstain", "exam")
"""Tables of the settings that belong to the thresholds."""
_LINK = ("model", "options", "width", "parameters", "macs", "labels_used", "images_used", "epochs")


def compare_fields(
    old: BundleSide, new: BundleSide, sources: Mapping[str, Reader]
) -> tuple[tuple[ChangedField, ...], tuple[str, ...]]:
    """Return the values that differ, and what could not be compared.

    Args:
        old: Bundle that is the reference.
        new: Bundle that is compared with it.
        sources: Function that reads the values, by the name of their source.
    """
    changed: list[ChangedField] = []
    unknown: list[str] = []
    for name, read in sources.items():
        before, after = read(old), read(new)
        if before is None and after is None:
            continue
        if before is None or after is None:
            unknown.append(f"{name}: not in the evidence of the {'old' if before is None else 'new'} bundle")
            continue
        keys = dict.fromkeys([*before, *after])
        changed += [ChangedField(what=k, old=before.get(k), new=after.get(k)) for k in keys if before.get(k) != after.get(k)]
    return tuple(changed), tuple(unknown)


def _manifest(side: BundleSide) -> Facts:
    data = side.manifest
    kept: Data = {key: data.get(key) for key in ("target", "device", "labels", "input", "onnx_precision") if key in data}
    facts = dict(flatten(kept))
    facts |= {"onnx.sha256": str(_at(data, "onnx", "sha256")), "onnx.bytes": str(_at(data, "onnx", "bytes"))}
    for model in _list(data.get("models")):
        name = f"{model.get('backend')} {model.get('precision')}"
        facts |= {f"{name}.{key}": str(model.get(key)) for key in ("backend_version", "kind")}
        facts |= {f"{ref.get('path')}.sha256": str(ref.get("sha256")) for ref in _list(model.get("files"))}
    return facts


def _chain(side: BundleSide) -> Facts | None:
    if side.chain is None:
        return None
    links = _list(side.chain.get("links"))
    facts = {"links": ", ".join(str(link.get("name")) for link in links)}
    facts["deployed link"] = str(side.chain.get("deployed") or (links[-1].get("name") if links else None))
    for link in links:
        name = link.get("name")
        facts |= {f"{name}.{key}": field_text(link[key]) for key in _LINK if key in link}
        facts |= {f"{name}.input_{side}": str(_at(link, "input", "network", side)) for side in ("height", "width")}
        facts |= {f"{name}.weights.sha256": str(_at(link, "weights", "sha256"))}
    return facts


def _selection(side: BundleSide) -> Facts | None:
    if side.selection is None:
        return None
    return {f"selection.{key}": str(side.selection[key]) for key in ("chosen", "precision") if key in side.selection}


def _calibration(side: BundleSide) -> Facts | None:
    if side.verification_data is None:
        return None
    return {"temperature": str(_at(side.verification_data, "calibration", "recalibration", "temperature"))}


MODEL: Mapping[str, Reader] = {
    "manifest": _manifest,
    "chain": _chain,
    "precision selection": _selection,
    "temperature": _calibration,
}


def _settings(side: BundleSide) -> Facts | None:
    if side.config is None:
        return None
    kept = {key: value for key, value in side.config.items() if key not in _THRESHOLDS}
    return dict(flatten(kept))


SETTINGS: Mapping[str, Reader] = {"settings": _settings}


def _build_settings(side: BundleSide) -> Facts | None:
    if side.config is None:
        return None
    return dict(flatten({key: side.config[key] for key in _THRESHOLDS if key in side.config}))


def _operating_point(side: BundleSide) -> Facts:
    return dict(flatten({"operating_point": side.manifest.get("operating_point", {})}))


def _exam(side: BundleSide) -> Facts:
    return dict(flatten({"exam": side.manifest.get("exam", {})}))


def _gates(side: BundleSide) -> Facts:
    facts = {}
    for gate in _list(side.manifest.get("gates")):
        facts[f"gate {gate.get('name')}"] = field_text(gate.get("limit"))
        facts[f"gate {gate.get('name')}, verdict"] = str(gate.get("verdict"))
    facts["passed"] = field_text(side.manifest.get("passed"))
    return facts


def _guard(side: BundleSide) -> Facts:
    if side.guard is None:
        return {"input guard": "none"}
    limits = side.guard.get("limits")
    facts = {"input guard": "in the bundle", "guard.json.sha256": str(_at(side.manifest, "guard", "sha256"))}
    return facts | dict(flatten({"guard.limits": limits or {}, "guard.max_ood_score": side.guard.get("max_ood_score")}))


def _threshold(side: BundleSide) -> Facts | None:
    if side.abstention is None:
        return None
    return {
        "confidence threshold found": field_text(_at(side.abstention, "threshold", "confidence_threshold")),
        "confidence threshold, requested error": field_text(_at(side.abstention, "threshold", "max_group_error")),
    }


THRESHOLDS: Mapping[str, Reader] = {
    "operating point": _operating_point,
    "rule of an examination": _exam,
    "input guard": _guard,
    "confidence threshold": _threshold,
    "settings of thresholds": _build_settings,
    "gates": _gates,
}


def _versions(side: BundleSide) -> Facts:
    return dict(flatten(side.manifest.get("versions", {})))


def _environment(side: BundleSide) -> Facts | None:
    if side.environment is None:
        return None
    facts = {key: str(side.environment.get(key)) for key in ("python", "system", "kernel", "processor")}
    known = set(_versions(side))
    for one in _list(side.environment.get("distributions")):
        if str(one.get("name")).lower().replace("_", "-") not in known:
            facts[f"{one.get('name')}"] = f"{one.get('version')} ({one.get('licence')})"
    return facts


SOFTWARE: Mapping[str, Reader] = {"versions": _versions, "environment": _environment}


def _own_results(side: BundleSide) -> Facts | None:
    if side.verification_data is None:
        return None
    labels = [str(label) for label in side.manifest.get("labels", [])]
    facts = {"accuracy, as deployed": rate_text(side.verification_data.get("accuracy_compiled"))}
    facts["accuracy, FP32"] = rate_text(side.verification_data.get("accuracy_fp32"))
    recalls = side.verification_data.get("recall_compiled")
    for label, recall in zip(labels, recalls if isinstance(recalls, list) else (), strict=False):
        facts[f"sensitivity of {label}"] = rate_text(recall)
    facts["expected calibration error"] = field_text(_at(side.verification_data, "calibration", "after", "ece", "value"))
    if side.abstention is not None:
        facts["test images with a decision"] = rate_text(side.abstention.get("coverage"))
        facts["wrong decisions"] = rate_text(side.abstention.get("selective_error"))
    if side.exams is not None:
        facts["accuracy of examinations"] = rate_text(side.exams.get("accuracy"), "examinations")
        facts["examinations with a decision"] = rate_text(side.exams.get("decided"), "examinations")
    return facts


OWN_RESULTS: Mapping[str, Reader] = {"metrics": _own_results}


def flatten(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names and values; entries of a list of tables are numbered from 1."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value, start=1):
                yield from flatten(item, f"{prefix}{key}.{number}.")
        else:
            yield f"{prefix}{key}", field_text(value)


def field_text(value: object) -> str:
    """Return one value as text: strings as they are, the rest as JSON."""
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value, ensure_ascii=False)


def rate_text(data: object, counted: str = "images") -> str:
    """Return a rate as text, with its interval and counts; ``none`` without one.

    Args:
        data: The rate as plain data.
        counted: What the rate counts.
    """
    if not isinstance(data, dict):
        return "none"
    try:
        ends = "no interval" if data["low"] is None else f"{data['low']:.4f} to {data['high']:.4f}"
        return f"{data['value']:.4f} ({ends}; {data['images']} {counted} in {data['groups']} groups)"
    except (KeyError, TypeError, ValueError):
        return "unknown"


def _at(data: object, *keys: str) -> object:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _list(data: object) -> list[dict[str, Any]]:
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
