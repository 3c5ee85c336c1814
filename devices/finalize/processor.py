"""Last step of a processor's bundle, on the device: race what the bundle lists, and put the fastest in use.

What was tested is kept below ``device/measured`` under the key of the machine, so that a race that was killed goes on where
it was, and a model that has killed its process is not tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import SCHEMA_VERSION, BuiltModel
from weckd_edge.bundle.reader import DEVICE_FOLDER, Bundle
from weckd_edge.core.errors import BundleError, DeviceError, WeckdError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.core.store import Workspace, explain_os_errors, write_atomic
from weckd_edge.devices.finalize.machine_identity import doubts_about_times, read_processor_identity
from weckd_edge.devices.finalize.race import RaceRules, check_in_process, time_in_process
from weckd_edge.devices.machine.processor import ProcessorIdentity
from weckd_edge.devices.runtime.device_choice import (
    DeviceChoice,
    Finalized,
    choice_before,
    is_same_machine,
    kept_choices,
    listed_model,
    named_choice,
    put_in_use,
    stored_choice,
    why_not_here,
)
from weckd_edge.devices.runtime.verify_bundle import SelfTest

logger = logging.getLogger(__name__)

MEASURED_FOLDER = "measured"
_MAX_MEASURED_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredModels:
    """Models that were tested on a machine so far, kept as ``device/measured/KEY.json``.

    Attributes:
        key: Digest of everything that the results depend on.
        tests: Result of the golden frames, one for each model.
        schema_version: Version of this record's fields.
    """

    key: str
    tests: tuple[SelfTest, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def find(self, model: BuiltModel) -> SelfTest | None:
        """Return the result for a model; None where there is none yet, or it could not run at all."""
        return next((test for test in self.tests if test.name == model.name and test.passed is not None), None)

    def with_test(self, test: SelfTest) -> MeasuredModels:
        """Return the record with one result added, or replaced."""
        others = (other for other in self.tests if other.name != test.name)
        return replace(self, tests=(*others, test))


def finalize_processor(
    bundle: Bundle,
    *,
    root: Path = Path("/"),
    progress: Progress | None = None,
    rules: RaceRules | None = None,
    again: bool = False,
) -> Finalized:
    """Race the models that a bundle lists on this processor, and put the fastest that predicts as it should in use.

    Each model is tested on the golden frames in a process of its own; those that pass are timed in turn. A race that fails
    leaves the choice in use as it was. A process killed in between leaves it as it was too, and the next call does not test
    again what was tested. Where a choice was made under the same key already, it is tested and used again.

    Args:
        bundle: An opened (and so verified) bundle.
        root: Folder that holds ``proc``, ``sys`` and ``etc``.
        progress: Shows the steps; None shows nothing.
        rules: Threads, and how long the processes may take; None takes the usual ones.
        again: Test and time everything again, whatever was measured here before.

    Raises:
        BundleError: The bundle lists no model, or was changed meanwhile.
        DeviceError: No model passed its self-test, or none could be timed.
        StoreError: The bundle cannot be written, or another process finalizes it.
    """
    rules, show = rules or RaceRules(), progress or SilentProgress()
    models = [model for model in bundle.manifest.models if model.kind == "model"]
    if not models:
        raise BundleError(f"{bundle.folder}: expected models that a processor runs, found none", code="E_BUNDLE_MODEL")
    with Workspace(bundle.folder / DEVICE_FOLDER).locked():
        identity = read_processor_identity(bundle, rules.threads, root)
        warnings = [*_foreign(bundle, identity), *doubts_about_times(root)]
        kept = None if again else _stored(bundle, identity, rules)
        choice = kept or _race(bundle, identity, models, rules, show, again=again)
        before = choice_before(bundle.folder, identity)
        choice = replace(choice, previous=before.key if before is not None else None)
        put_in_use(bundle.folder, choice)
        _forget_others(bundle.folder)
    warnings += [f"{name} is left out: {why}" for name, why in choice.left_out.items() if name not in choice.latency_ns]
    return Finalized(choice=choice, reused=kept is not None, warnings=tuple(warnings))


def roll_back_processor(bundle: Bundle, *, root: Path = Path("/"), rules: RaceRules | None = None) -> DeviceChoice:
    """Put the choice before the present one in use again, after its self-test.

    Raises:
        DeviceError: There is no such choice, it does not hold here, or it does not pass its self-test; the present one stays
            in use.
    """
    with Workspace(bundle.folder / DEVICE_FOLDER).locked():
        present = named_choice(bundle.folder)
        before = choice_before(bundle.folder, present.identity) if present is not None else None
        if present is None or before is None:
            raise DeviceError(
                f"{bundle.folder}: there is no choice before the one in use; weckd-edge finalize makes one",
                code="E_DEVICE_NO_CHOICE",
            )
        reason = why_not_here(bundle, before, root)
        if reason is not None:
            raise DeviceError(
                f"{bundle.folder}: the choice before the one in use does not hold here ({reason}); weckd-edge finalize "
                "makes another",
                code="E_DEVICE_NO_CHOICE",
            )
        test = _test_choice(bundle, before, rules or RaceRules())
        if not test.passed:
            raise DeviceError(
                f"{before.name} failed its self-test ({test.reason}); the choice in use stays", code="E_DEVICE_SELFTEST"
            )
        choice = replace(before, previous=present.key)
        put_in_use(bundle.folder, choice)
    return choice


def _foreign(bundle: Bundle, identity: ProcessorIdentity) -> tuple[str, ...]:
    named = named_choice(bundle.folder)
    if named is None or is_same_machine(named.identity, identity):
        return ()
    made_on = named.identity.processor if isinstance(named.identity, ProcessorIdentity) else named.identity.module
    return (f"the choice that lay in the bundle was made on {made_on} and is not used on this machine",)


def _stored(bundle: Bundle, identity: ProcessorIdentity, rules: RaceRules) -> DeviceChoice | None:
    """Return the choice that was made under this key and still passes its self-test; None where there must be a race."""
    kept = stored_choice(bundle.folder, identity.key())
    if kept is None or listed_model(bundle, kept) is None:
        return None
    test = _test_choice(bundle, kept, rules)
    if not test.passed:
        logger.warning("%s was chosen here, and fails its self-test now: %s", kept.name, test.reason)
        _measured_path(bundle.folder, kept.key).unlink(missing_ok=True)
        return None
    return kept


def _test_choice(bundle: Bundle, choice: DeviceChoice, rules: RaceRules) -> SelfTest:
    model = listed_model(bundle, choice)
    if model is None:
        raise DeviceError(f"{bundle.folder}: does not list {choice.name} any more", code="E_DEVICE_NO_CHOICE")
    return check_in_process(bundle, model, rules)


def _race(
    bundle: Bundle,
    identity: ProcessorIdentity,
    models: Sequence[BuiltModel],
    rules: RaceRules,
    show: Progress,
    *,
    again: bool,
) -> DeviceChoice:
    key = identity.key()
    measured = MeasuredModels(key=key) if again else _read_measured(bundle.folder, key)
    done = sum(measured.find(model) is not None for model in models)
    with show.task("models", total=len(models) + 1, done=done) as task:
        for model in models:
            if measured.find(model) is None:
                measured = measured.with_test(check_in_process(bundle, model, rules))
                _write_measured(bundle.folder, measured)
                task.advance()
        passed = [model for model in models if (test := measured.find(model)) is not None and test.passed]
        times, dropped = time_in_process(bundle, passed, rules)
        for model in passed:
            test = measured.find(model)
            if model.name in dropped and test is not None:
                measured = measured.with_test(replace(test, passed=False, reason=dropped[model.name]))
                _write_measured(bundle.folder, measured)
        task.advance()
    left_out = {test.name: test.reason or "" for test in measured.tests if not test.passed}
    if not times:
        raise DeviceError(
            f"{bundle.folder}: no model passed its self-test here, and what was in use stays "
            f"({'; '.join(f'{name}: {why}' for name, why in left_out.items())}); --again tries all of them again",
            code="E_DEVICE_SELFTEST",
        )
    return _choice(bundle, identity, measured, times, left_out)


def _choice(
    bundle: Bundle,
    identity: ProcessorIdentity,
    measured: MeasuredModels,
    times: dict[str, float],
    left_out: dict[str, str],
) -> DeviceChoice:
    """Return the choice of the fastest model; of two that are equally fast, of the one that the bundle lists first."""
    manifest = bundle.manifest
    timed = [model for model in manifest.models if model.kind == "model" and model.name in times]
    model = min(timed, key=lambda model: times[model.name])
    best, test = times[model.name], measured.find(model)
    if test is None or model.expected is None or model.tolerance is None:
        raise BundleError(f"{model.name} has no golden predictions", code="E_BUNDLE_GOLDEN")
    slower = {
        name: f"a golden frame takes it {ns / 1e6:.3f} ms, and {model.name} {best / 1e6:.3f} ms"
        for name, ns in times.items()
        if name != model.name
    }
    return DeviceChoice(
        key=identity.key(),
        identity=identity,
        backend=model.backend,
        precision=model.precision,
        files=model.files,
        takes="pixels" if manifest.input.graph_takes_pixels else "frame",
        graph_sha256=model.source_sha256,
        expected=model.expected,
        tolerance=model.tolerance,
        frames=test.frames,
        max_abs=test.max_abs or 0.0,
        flips=test.flips or 0,
        latency_ns=times,
        left_out={**left_out, **slower},
    )


def _measured_path(folder: Path, key: str) -> Path:
    return folder / DEVICE_FOLDER / MEASURED_FOLDER / f"{key[:16]}.json"


def _read_measured(folder: Path, key: str) -> MeasuredModels:
    try:
        raw = read_bounded(_measured_path(folder, key), at_most=_MAX_MEASURED_BYTES)
        found = from_json(MeasuredModels, raw, where="measured models", error=DeviceError)
    except WeckdError:
        return MeasuredModels(key=key)
    return found if found.key == key and found.schema_version == SCHEMA_VERSION else MeasuredModels(key=key)


def _write_measured(folder: Path, measured: MeasuredModels) -> None:
    path = _measured_path(folder, measured.key)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, to_json(measured))


def _forget_others(folder: Path) -> None:
    """Remove what was measured for choices that are not kept."""
    kept = {_measured_path(folder, choice.key) for choice in kept_choices(folder)}
    for path in (folder / DEVICE_FOLDER / MEASURED_FOLDER).glob("*"):
        if path not in kept:
            path.unlink(missing_ok=True)
