"""Rules for a manifest beyond the types of its values (docs/reference/bundle-format.md); the C library checks the same."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

from weckd_edge.artifacts import SCHEMA_VERSION, BuiltModel, ExamRule, FileRef, InputSpec, Manifest
from weckd_edge.bundle.exam_rules import check_exam_rule
from weckd_edge.bundle.files import MAX_PATH_BYTES, is_device
from weckd_edge.bundle.signing import MANIFEST_FILE, SIGNATURE_FILE
from weckd_edge.core.bounds import MAX_CLASSES, MAX_LABEL_BYTES, MAX_SIDE
from weckd_edge.core.errors import BundleError
from weckd_edge.core.serialization import from_data, parse_json
from weckd_edge.core.store import refs_in, sha256_bytes

MAX_MANIFEST_BYTES = 64 << 20
MAX_DEPTH = 32
"""Largest depth of nested lists and objects in a manifest."""

MAX_FILES = 4096
MAX_MODELS = 64
MAX_MODEL_FILES = 4
MAX_MODEL_BYTES = 2 << 30
MAX_TOLERANCE = 0.5
"""Largest tolerance of a self-test, as a difference of a probability; with more, any decision would pass."""

SETTINGS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("openvino", "int8"): {"INFERENCE_PRECISION_HINT": ("f32",)},
    ("openvino", "fp16"): {"INFERENCE_PRECISION_HINT": ("f32", "f16")},
    ("openvino", "fp32"): {"INFERENCE_PRECISION_HINT": ("f32",)},
}
"""Every setting that a model may name and the values it may have, by backend and precision. The backends set them
themselves: nothing else of a manifest reaches a runtime, which would take a folder to read compiled models from, or a number
of threads, just as well."""

ZEROS = "0" * 64
_SELF_DIGEST = re.compile(rb'"manifest_sha256": "([0-9a-f]{64})"')
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN = re.compile(r"[ -\[\]-~]+")
"""Printable ASCII without the backslash."""


def read_manifest(raw: bytes, where: str) -> Manifest:
    """Return the manifest in some bytes, after every check of its format.

    Args:
        raw: Bytes of ``manifest.json``.
        where: Name of the file in messages.

    Raises:
        BundleError: The bytes are not a manifest of this format, or they were changed.
    """
    data = read_plain(raw, where)
    exam = [(data.get("exam"), field.name) for field in fields(ExamRule)]
    for holder, key in ((data, "schema_version"), (data.get("operating_point"), "confidence_threshold"), *exam):
        if isinstance(holder, dict) and key not in holder:  # the record has a default, which the format has not
            raise BundleError(f"{MANIFEST_FILE}: the key '{key}' is missing", code="E_RECORD_KEY_MISSING")
    manifest = from_data(Manifest, data, where=MANIFEST_FILE, error=BundleError)
    check_manifest(manifest)
    return manifest


def read_plain(raw: bytes, where: str) -> dict[str, Any]:
    """Return a manifest of this or an older format as plain data, after a check of its own digest.

    Raises:
        BundleError: The bytes are not a manifest, are of a newer format, or were changed.
    """
    data = parse_json(raw, where=where, error=BundleError, deepest=MAX_DEPTH)
    if not isinstance(data, dict):
        raise BundleError(f"{where}: expected a manifest, found something else", code="E_BUNDLE_FORMAT")
    version = data.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            f"{where}: format {version} is newer than the format {SCHEMA_VERSION} that this weckd-edge reads; update it",
            code="E_BUNDLE_NEWER",
        )
    _check_own_digest(where, raw, data.get("manifest_sha256"))
    return data


def _check_own_digest(where: str, raw: bytes, named: object) -> None:
    places = [match.span(1) for match in _SELF_DIGEST.finditer(raw)]
    if len(places) != 1 or raw[slice(*places[0])].decode() != named:
        raise BundleError(
            f"{where}: expected its own SHA-256 once, found it {len(places)} times; it was never sealed",
            code="E_BUNDLE_FORMAT",
        )
    start, end = places[0]
    if sha256_bytes(raw[:start] + ZEROS.encode() + raw[end:]) != named:
        raise BundleError(f"{where}: its bytes do not match the SHA-256 it names; it was changed", code="E_BUNDLE_DIGEST")


def check_manifest(manifest: Manifest) -> None:
    """Raise an error where a manifest breaks a rule of the format.

    Raises:
        BundleError: A rule is broken; the message names the first one.
    """
    if manifest.schema_version != SCHEMA_VERSION or manifest.version < 0:
        raise BundleError(
            f"{MANIFEST_FILE}: expected the format {SCHEMA_VERSION} and a version of at least 0, found "
            f"{manifest.schema_version} and {manifest.version}",
            code="E_BUNDLE_FORMAT",
        )
    _check_listing(manifest)
    _check_labels(manifest)
    _check_input(manifest.input)
    check_exam_rule(manifest.exam, has_guard=manifest.guard is not None)
    _check_size(MANIFEST_FILE, "a graph", manifest.onnx.bytes, MAX_MODEL_BYTES, "bytes")
    _check_size(MANIFEST_FILE, "the list of models", len(manifest.models), MAX_MODELS, "models")
    for model in manifest.models:
        _check_model(model)
    names = [model.name for model in manifest.models if model.kind == "model"]
    for name in names:
        if names.count(name) > 1:
            raise BundleError(f"{MANIFEST_FILE}: expected one model of {name[:60]}, found more", code="E_BUNDLE_MODEL")
    for what, name in (("the bundle's name", manifest.name), ("the device's name", manifest.device)):
        _check_size(MANIFEST_FILE, what, len(name.encode()), MAX_LABEL_BYTES, "bytes")


def check_refs(refs: tuple[FileRef, ...]) -> None:
    """Raise an error where a list of files breaks a rule of the format.

    Raises:
        BundleError: There are too many files, one has no digest or no size, or a path may not be listed or is listed twice.
    """
    _check_size(MANIFEST_FILE, "the list of files", len(refs), MAX_FILES, "files")
    seen = set()
    for ref in refs:
        _check_ref(ref)
        if ref.path in seen:
            raise BundleError(f"{MANIFEST_FILE}: lists '{ref.path}' twice", code="E_BUNDLE_LISTING")
        seen.add(ref.path)


def _check_ref(ref: FileRef) -> None:
    if not _SHA256.fullmatch(ref.sha256) or ref.bytes < 0:
        raise BundleError(
            f"{MANIFEST_FILE}: {ref.path[:80]}: expected a SHA-256 in 64 lower-case digits and a size of at least 0",
            code="E_BUNDLE_FORMAT",
        )
    if (
        len(ref.path) > MAX_PATH_BYTES
        or not _PLAIN.fullmatch(ref.path)
        or any(part in ("", ".", "..") for part in ref.path.split("/"))
        or is_device(ref.path)
        or ref.path in (MANIFEST_FILE, SIGNATURE_FILE)
    ):
        raise BundleError(
            f"{MANIFEST_FILE}: '{ref.path[:80]}' is not a path that a bundle may list", code="E_BUNDLE_LISTING"
        )


def _check_listing(manifest: Manifest) -> None:
    """Raise an error where a manifest uses a file that is not listed, or is listed differently."""
    check_refs(manifest.files)
    listed = {ref.path: ref for ref in manifest.files}
    for ref in refs_in(replace(manifest, files=())):
        _check_ref(ref)
        if listed.get(ref.path) != ref:
            raise BundleError(
                f"{MANIFEST_FILE}: uses '{ref.path}', which is not the file of that name in its list",
                code="E_BUNDLE_LISTING",
            )


def _check_labels(manifest: Manifest) -> None:
    labels = manifest.labels
    if not labels or "" in labels:
        raise BundleError(
            f"{MANIFEST_FILE}: expected labels that are not empty, found {list(labels)}", code="E_BUNDLE_LABELS"
        )
    _check_size(MANIFEST_FILE, "the list of labels", len(labels), MAX_CLASSES, "labels")
    for label in labels:
        _check_size(MANIFEST_FILE, f"the label '{label[:40]}'", len(label.encode()), MAX_LABEL_BYTES, "bytes")
        if labels.count(label) > 1:
            raise BundleError(f"{MANIFEST_FILE}: expected labels that differ, found '{label}' twice", code="E_BUNDLE_LABELS")
    for label in manifest.operating_point.non_gradeable_labels:
        if label not in labels:
            raise BundleError(
                f"{MANIFEST_FILE}: refuses the label '{label}', which is none of its labels", code="E_BUNDLE_LABELS"
            )


def _check_input(spec: InputSpec) -> None:
    sides = {
        "frame.height": spec.frame.height,
        "frame.width": spec.frame.width,
        "network.height": spec.network.height,
        "network.width": spec.network.width,
    }
    for name, side in sides.items():
        if side < 1:
            raise BundleError(
                f"{MANIFEST_FILE}: input: expected a {name} of at least 1 pixel, found {side}", code="E_BUNDLE_INPUT"
            )
        _check_size(MANIFEST_FILE, f"input: {name}", side, MAX_SIDE, "pixels")
    frame = spec.frame
    if frame.crop_size is not None:
        _check_sides("frame.crop_size", frame.crop_size, (1, 1), (frame.height, frame.width))
    if frame.scaled_size is not None:
        for side in frame.scaled_size:
            _check_size(MANIFEST_FILE, "input: frame.scaled_size", side, MAX_SIDE, "pixels")
        _check_sides("frame.scaled_size", frame.scaled_size, spec.network.size, (MAX_SIDE, MAX_SIDE))


def _check_sides(name: str, found: tuple[int, int], least: tuple[int, int], most: tuple[int, int]) -> None:
    if not all(low <= side <= high for low, side, high in zip(least, found, most, strict=True)):
        raise BundleError(
            f"{MANIFEST_FILE}: input: expected a {name} of {list(least)} to {list(most)} pixels, found {list(found)}",
            code="E_BUNDLE_INPUT",
        )


def _check_model(model: BuiltModel) -> None:
    for name, value in model.settings.items():
        if value not in SETTINGS.get((model.backend, model.precision), {}).get(name, ()):
            raise BundleError(
                f"{MANIFEST_FILE}: a model of {model.name} names the setting {name[:60]} = {value[:60]}, which is none "
                "of this format",
                code="E_BUNDLE_MODEL",
            )
    if model.schema_version != SCHEMA_VERSION:
        raise BundleError(
            f"{MANIFEST_FILE}: a model: expected the schema {SCHEMA_VERSION}, found {model.schema_version}",
            code="E_BUNDLE_MODEL",
        )
    _check_proof(model)
    if model.kind != "model":
        return
    paths = [ref.path for ref in model.files]
    _check_size(MANIFEST_FILE, f"a model of {model.backend}", len(paths), MAX_MODEL_FILES, "files")
    _check_size(
        MANIFEST_FILE, f"a model of {model.backend}", sum(ref.bytes for ref in model.files), MAX_MODEL_BYTES, "bytes"
    )
    graphs = sum(path.endswith((".xml", ".onnx")) for path in paths)
    if not paths or len(set(paths)) != len(paths) or graphs > 1 or sum(path.endswith(".bin") for path in paths) > 1:
        raise BundleError(
            f"{MANIFEST_FILE}: a model of {model.backend}: expected files, none twice, one graph and one file of weights, "
            f"found {', '.join(paths) or 'none'}",
            code="E_BUNDLE_MODEL",
        )


def _check_proof(model: BuiltModel) -> None:
    """Raise an error where a model, or a recipe, does not say what its golden frames must give."""
    if (model.kind == "preflight") != (model.expected is None) or (model.expected is None) != (model.tolerance is None):
        raise BundleError(
            f"{MANIFEST_FILE}: {model.name}: expected golden predictions and a tolerance for what runs, and for a preflight "
            "neither",
            code="E_BUNDLE_MODEL",
        )
    if model.tolerance is not None and not 0 <= model.tolerance <= MAX_TOLERANCE:
        raise BundleError(
            f"{MANIFEST_FILE}: expected a tolerance of 0 to {MAX_TOLERANCE} for {model.name}, found {model.tolerance:g}",
            code="E_BUNDLE_TOLERANCE",
        )
    small, layers = model.int8_layers, model.layers
    if (small is None) != (layers is None) or not 0 <= (small or 0) <= (layers or 0):
        raise BundleError(
            f"{MANIFEST_FILE}: {model.name}: expected int8 layers among all layers, found {small} of {layers}",
            code="E_BUNDLE_MODEL",
        )


def _check_size(where: str, what: str, found: int, maximum: int, unit: str) -> None:
    if found > maximum:
        raise BundleError(f"{where}: {what}: expected at most {maximum} {unit}, found {found}", code="E_BUNDLE_LIMIT")
