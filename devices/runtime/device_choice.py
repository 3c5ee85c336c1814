"""The model that a device has chosen for itself, below the bundle's ``device`` folder, which the signature does not cover.

``device/choice.json`` names it and is replaced in one rename. The choice before it stays in ``device/choices``, so that
going back (or switching between two power modes) neither measures nor builds anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from weckd_edge.artifacts import SCHEMA_VERSION, BuiltModel, FileRef, Precision, Takes
from weckd_edge.bundle.files import is_device
from weckd_edge.bundle.manifest_rules import MAX_TOLERANCE
from weckd_edge.bundle.reader import DEVICE_FOLDER, Bundle
from weckd_edge.core.errors import DeviceError, StoreError, WeckdError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.core.store import check_ref, explain_os_errors, write_atomic
from weckd_edge.devices.jetson.board import EngineIdentity
from weckd_edge.devices.machine.identity import read_identity
from weckd_edge.devices.machine.processor import ProcessorIdentity, read_processor
from weckd_edge.devices.runtime.backends.table import installed_version

CHOICE_FILE = "choice.json"
CHOICES_FOLDER = "choices"
_MAX_CHOICE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceChoice:
    """A model of a bundle that a device has tested, and found the fastest of those that it could run.

    Attributes:
        key: Digest of the identity.
        identity: Everything that the choice depends on: of an engine's build, or of the processor.
        backend: Name in the backend table.
        precision: Precision of the model.
        files: The model's files, relative to the bundle's folder: files that the manifest lists, or an engine below
            ``device``.
        takes: Input of the model: the resized pixels, or the camera frame, which it crops and resizes itself.
        graph_sha256: Digest of the ONNX graph that the model was made from.
        expected: The predictions that the golden frames were compared with.
        tolerance: Largest difference of a probability that is allowed.
        frames: Number of golden frames that it was tested on.
        max_abs: Largest difference of a probability from the golden predictions.
        flips: Number of golden frames whose decision differs.
        latency_ns: Median time of one golden frame by model, nanoseconds, of all that were timed.
        left_out: Why a model of the bundle was not timed, or not chosen, by model.
        previous: Key of the choice before it; None for the first.
        schema_version: Version of this record's fields.
    """

    key: str
    identity: EngineIdentity | ProcessorIdentity
    backend: str
    precision: Precision
    files: tuple[FileRef, ...]
    takes: Takes
    graph_sha256: str
    expected: FileRef
    tolerance: float
    frames: int
    max_abs: float
    flips: int
    latency_ns: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    previous: str | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def name(self) -> str:
        """Name of the model, such as ``openvino int8``."""
        return model_name(self.backend, self.precision)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalized:
    """Result of finalizing a bundle.

    Attributes:
        choice: The choice that is now in use.
        reused: Whether nothing had to be built or measured.
        warnings: Warnings for the user, in words.
    """

    choice: DeviceChoice
    reused: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundChoice:
    """Choice that a bundle's folder holds, if any, and whether it holds here.

    Attributes:
        choice: The choice to follow; None where there is none, or it does not hold here.
        reason: Why a choice that lies there is not followed, in words; None where it is followed, or there is none.
    """

    choice: DeviceChoice | None = None
    reason: str | None = None


def model_name(backend: str, precision: str) -> str:
    """Return the name of a model among those of its bundle, such as ``onnxruntime fp32``."""
    return f"{backend} {precision}"


def find_choice(bundle: Bundle, root: Path = Path("/")) -> FoundChoice:
    """Read the choice in use, and compare what is cheap to compare with this machine, this bundle and its files.

    Of a processor these are its name, cores and instruction sets, the library's version, and the digest of the manifest; of
    an engine the module and the graph. What else a choice depends on (power mode, memory, kernel, other libraries) decides
    which model is the fastest, not whether it predicts as it should: ``finalize`` compares that.

    Args:
        bundle: The bundle, opened and so verified.
        root: Folder that holds ``proc``, ``sys`` and ``etc``.
    """
    named = named_choice(bundle.folder)
    if named is None:
        return FoundChoice()
    reason = why_not_here(bundle, named, root)
    return FoundChoice(choice=named) if reason is None else FoundChoice(reason=reason)


def why_not_here(bundle: Bundle, choice: DeviceChoice, root: Path = Path("/")) -> str | None:
    """Return why a choice does not hold on this machine for this bundle, in words; None where it does."""
    differs = _engine_differs if isinstance(choice.identity, EngineIdentity) else _processor_differs
    return differs(bundle, choice, root)


def named_choice(folder: Path) -> DeviceChoice | None:
    """Return the record in ``device/choice.json``, whether or not it holds here; None where there is none."""
    return _read(folder / DEVICE_FOLDER / CHOICE_FILE)


def stored_choice(folder: Path, key: str) -> DeviceChoice | None:
    """Return the choice that was made under a key, its files checked; None where there is none."""
    choice = _read(_path_of(folder, key))
    if choice is None or choice.key != key or choice.identity.key() != key:
        return None
    return choice if _why_not_whole(folder, choice) is None else None


def choice_before(folder: Path, identity: EngineIdentity | ProcessorIdentity) -> DeviceChoice | None:
    """Return the choice to go back to from that of an identity: the last other one in use that is whole; None if none is.

    A choice of another machine does not count, as the folder was then copied from there.
    """
    named = named_choice(folder)
    for key in (named.key, named.previous) if named is not None else ():
        kept = stored_choice(folder, key) if key is not None and key != identity.key() else None
        if kept is not None and is_same_machine(kept.identity, identity):
            return kept
    return None


def is_same_machine(one: EngineIdentity | ProcessorIdentity, other: EngineIdentity | ProcessorIdentity) -> bool:
    """Tell whether two choices were made on a machine of the same kind: module, or processor."""
    if isinstance(one, EngineIdentity):
        return isinstance(other, EngineIdentity) and one.module == other.module
    return isinstance(other, ProcessorIdentity) and one.processor == other.processor


def put_in_use(folder: Path, choice: DeviceChoice) -> None:
    """Put a choice in use, and forget all others but the one before it.

    Args:
        folder: Folder of the bundle.
        choice: The choice; its ``previous`` says which other one is kept.

    Raises:
        StoreError: The bundle cannot be written.
    """
    path = _path_of(folder, choice.key)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    text = to_json(choice)
    write_atomic(path, text)
    write_atomic(folder / DEVICE_FOLDER / CHOICE_FILE, text)
    for other in list(path.parent.iterdir()):
        if other not in (path, _path_of(folder, choice.previous or choice.key)):
            other.unlink(missing_ok=True)


def kept_choices(folder: Path) -> Iterator[DeviceChoice]:
    """Yield the choices that lie in a bundle: the one in use, and the one before it."""
    for path in sorted((folder / DEVICE_FOLDER / CHOICES_FOLDER).glob("*.json")):
        choice = _read(path)
        if choice is not None:
            yield choice


def listed_model(bundle: Bundle, choice: DeviceChoice) -> BuiltModel | None:
    """Return the entry of the manifest that a choice names; None for an engine, or where it lists no such model."""
    if choice.takes != bundle.manifest.input.graph_input_name:
        return None
    for model in bundle.manifest.models:
        if model.kind == "model" and _proof(model, model.source_sha256) == _proof(choice, choice.graph_sha256):
            return model
    return None


def _proof(model: BuiltModel | DeviceChoice, graph_sha256: str) -> tuple[object, ...]:
    return (model.backend, model.precision, model.files, model.expected, model.tolerance, graph_sha256)


def _engine_differs(bundle: Bundle, choice: DeviceChoice, root: Path) -> str | None:
    manifest = bundle.manifest
    if choice.graph_sha256 != manifest.onnx.sha256:
        return "the device's engine was built of another graph"
    if choice.expected not in manifest.files or not 0 <= choice.tolerance <= MAX_TOLERANCE:
        return "the device's engine was tested by another bundle"
    if choice.backend != "tensorrt" or not all(is_device(ref.path) for ref in choice.files):
        return "the device's choice is no engine"
    if choice.takes == "pixels" and manifest.input.graph_input_name != "pixels":
        return "the device's engine takes pixels, which no front end makes for this bundle"
    modules = read_identity(root).modules
    made_on = choice.identity.module if isinstance(choice.identity, EngineIdentity) else ""
    if modules and made_on not in modules:
        return f"the device's engine was built on module {made_on}, and this is {', '.join(modules)}"
    return _why_not_whole(bundle.folder, choice)


def _processor_differs(bundle: Bundle, choice: DeviceChoice, root: Path) -> str | None:
    identity = choice.identity
    if not isinstance(identity, ProcessorIdentity) or identity.manifest_sha256 != bundle.manifest.manifest_sha256:
        return "the device's choice was made for another bundle"
    here = read_processor(root)
    if here != identity.processor:
        return f"the device's choice was made on {identity.processor}, and this is {here}"
    if listed_model(bundle, choice) is None:
        return f"the device's choice is {choice.name}, which the bundle does not list"
    version = installed_version(choice.backend) or "none"
    tested = identity.libraries.get(choice.backend)
    if version != tested:
        return f"the device's choice, {choice.name}, was tested with {choice.backend} {tested}, and {version} is installed"
    return None


def _why_not_whole(folder: Path, choice: DeviceChoice) -> str | None:
    try:
        for ref in choice.files:
            check_ref(folder, ref)
    except (OSError, StoreError) as err:
        return f"the device's choice is not whole ({err})"
    return None


def _path_of(folder: Path, key: str) -> Path:
    return folder / DEVICE_FOLDER / CHOICES_FOLDER / f"{key[:16]}.json"


def _read(path: Path) -> DeviceChoice | None:
    try:
        raw = read_bounded(path, at_most=_MAX_CHOICE_BYTES)
        choice = from_json(DeviceChoice, raw, where=path.name, error=DeviceError)
    except WeckdError:
        return None
    return choice if choice.schema_version == SCHEMA_VERSION else None
