"""The files under ``evidence/``, and the record of everything a bundle holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from weckd_edge.artifacts import (
    Abstention,
    BuildRecord,
    ChainRecord,
    DataAudit,
    DatasetIndex,
    Environment,
    ExamEvidence,
    Link,
    LinkSelection,
    Manifest,
    Measurement,
    MetricsRecord,
    PrecisionSelection,
    Verification,
)
from weckd_edge.core.errors import BundleError
from weckd_edge.core.serialization import from_json, to_data, to_json
from weckd_edge.core.store import write_atomic

EVIDENCE_FOLDER = "evidence"
DATASET_FILE = "dataset_index.json"
CHAIN_FILE = "chain.json"
VERIFICATION_FILE = "verification.json"
MEASUREMENTS_FILE = "measurements.jsonl"
BUILD_FILE = "build.json"
SELECTION_FILE = "precision_selection.json"
LINK_SELECTION_FILE = "link_selection.json"
AUDIT_FILE = "audit.json"
METRICS_FILE = "metrics.json"
ABSTENTION_FILE = "abstention.json"
EXAMS_FILE = "exams.json"
ENVIRONMENT_FILE = "environment.json"
REPORT_FILE = "report.html"
MODEL_CARD_FILE = "model_card.md"
SBOM_FILE = "sbom.cdx.json"
CONFUSION_FILE = "confusion_matrix.csv"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleContents:
    """Contents of a bundle: what a build assembles and returns, and what a report shows.

    Attributes:
        manifest: Sealed manifest; while a bundle is being made, the draft of it.
        dataset: Images, and how each was used.
        chain: Links and baseline.
        verification: Predictions of the compiled model, compared with those before compiling.
        measurement: Benchmark of the deployed model; None where it was not measured.
        link_measurements: Benchmarks of links that are not deployed; each names its link.
        build: Settings and durations of the build.
        selection: Precisions that were tried, and why one was chosen.
        link_selection: Links that were evaluated, and why one was chosen.
        audit: Data audit; None where the build skipped it.
        metrics: Clinical metrics, by class and slice; None in a bundle without them.
        abstention: Input guard and threshold, and their effect; None in a bundle without them.
        exams: Rule of examinations, and what it brings; None in a bundle without it.
        environment: Machine and software of the build; None in a bundle without it.
        files: Path on disk, or bytes, of each file of model, self-test and guard, by its path in the bundle; empty for a
            bundle that was read.
    """

    manifest: Manifest
    dataset: DatasetIndex
    chain: ChainRecord
    verification: Verification
    measurement: Measurement | None
    build: BuildRecord
    selection: PrecisionSelection
    link_selection: LinkSelection
    link_measurements: tuple[Measurement, ...] = ()
    audit: DataAudit | None = None
    metrics: MetricsRecord | None = None
    abstention: Abstention | None = None
    exams: ExamEvidence | None = None
    environment: Environment | None = None
    files: Mapping[str, Path | bytes] = field(default_factory=dict)

    @property
    def deployed(self) -> Link:
        """Deployed link."""
        by_name = {link.name: link for link in self.chain.links}
        return by_name.get(self.chain.deployed or "", self.chain.links[-1])


def write_evidence(folder: Path, contents: BundleContents) -> None:
    """Write the evidence files of a bundle that is not sealed yet.

    Args:
        folder: Folder of the bundle; ``evidence/`` is made in it.
        contents: Contents to write.
    """
    below = folder / EVIDENCE_FOLDER
    benches = (*([contents.measurement] if contents.measurement else []), *contents.link_measurements)
    below.mkdir(parents=True, exist_ok=True)
    write_atomic(below / DATASET_FILE, to_json(contents.dataset))
    write_atomic(below / CHAIN_FILE, to_json(contents.chain))
    write_atomic(below / VERIFICATION_FILE, to_json(contents.verification))
    write_atomic(below / MEASUREMENTS_FILE, "".join(measurement_lines(benches)))
    write_atomic(below / BUILD_FILE, to_json(contents.build))
    write_atomic(below / SELECTION_FILE, to_json(contents.selection))
    write_atomic(below / LINK_SELECTION_FILE, to_json(contents.link_selection))
    if contents.audit is not None:
        write_atomic(below / AUDIT_FILE, to_json(contents.audit))
    if contents.metrics is not None:
        write_atomic(below / METRICS_FILE, to_json(contents.metrics))
    if contents.abstention is not None:
        write_atomic(below / ABSTENTION_FILE, to_json(contents.abstention))
    if contents.exams is not None:
        write_atomic(below / EXAMS_FILE, to_json(contents.exams))
    if contents.environment is not None:
        write_atomic(below / ENVIRONMENT_FILE, to_json(contents.environment))


def measurement_lines(measurements: Iterable[Measurement]) -> Iterable[str]:
    """Yield each measurement as one line of JSON."""
    for measurement in measurements:
        yield json.dumps(to_data(measurement), sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


Read = Callable[[str], bytes | None]
"""Function that returns the bytes of a bundle's file by its path; None where there is no such file."""


def read_contents(source: Path | Read, manifest: Manifest) -> BundleContents:
    """Read the contents of a bundle, sealed or not.

    Args:
        source: Folder of a bundle that is being made; or a function that returns the verified bytes of an opened one.
        manifest: Manifest; its labels must be those of the evidence.

    Raises:
        BundleError: A file is missing, is of another format, or belongs to other labels.
    """
    read = _reader(source) if isinstance(source, Path) else source
    dataset = _read(read, DATASET_FILE, DatasetIndex)
    chain = _read(read, CHAIN_FILE, ChainRecord)
    verification = _read(read, VERIFICATION_FILE, Verification)
    benches = [
        from_json(Measurement, line, where=MEASUREMENTS_FILE, error=BundleError)
        for line in _read_bytes(read, MEASUREMENTS_FILE).splitlines()
        if line.strip()
    ]
    deployed = (None, verification.backend, verification.precision)
    contents = BundleContents(
        manifest=manifest,
        dataset=dataset,
        chain=chain,
        verification=verification,
        measurement=next((one for one in benches if (one.link, one.backend, one.precision) == deployed), None),
        link_measurements=tuple(one for one in benches if one.link is not None),
        build=_read(read, BUILD_FILE, BuildRecord),
        selection=_read(read, SELECTION_FILE, PrecisionSelection),
        link_selection=_read(read, LINK_SELECTION_FILE, LinkSelection),
        audit=_read_if_there(read, AUDIT_FILE, DataAudit),
        metrics=_read_if_there(read, METRICS_FILE, MetricsRecord),
        abstention=_read_if_there(read, ABSTENTION_FILE, Abstention),
        exams=_read_if_there(read, EXAMS_FILE, ExamEvidence),
        environment=_read_if_there(read, ENVIRONMENT_FILE, Environment),
    )
    _check(contents)
    return contents


def _reader(folder: Path) -> Read:
    def read(path: str) -> bytes | None:
        try:
            return (folder / path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as err:
            raise BundleError(f"{folder / path}: cannot be read ({err})", code="E_BUNDLE_IO") from err

    return read


def _check(contents: BundleContents) -> None:
    if not contents.chain.links:
        raise BundleError(f"{CHAIN_FILE}: expected at least one link, found none", code="E_BUNDLE_EVIDENCE")
    if contents.dataset.labels != contents.manifest.labels:
        raise BundleError(
            f"{DATASET_FILE}: expected the labels {list(contents.manifest.labels)}, found {list(contents.dataset.labels)}",
            code="E_BUNDLE_EVIDENCE",
        )
    classes = len(contents.manifest.labels)
    for prediction in contents.verification.predictions:
        if len(prediction.compiled) != classes or not 0 <= prediction.label < classes:
            raise BundleError(
                f"{VERIFICATION_FILE}: {prediction.path}: expected predictions of {classes} labels", code="E_BUNDLE_EVIDENCE"
            )
    if contents.metrics is not None and len(contents.metrics.compiled.classes) != classes:
        raise BundleError(f"{METRICS_FILE}: expected the metrics of {classes} labels", code="E_BUNDLE_EVIDENCE")
    if contents.exams is not None and len(contents.exams.recall) != classes:
        raise BundleError(f"{EXAMS_FILE}: expected the recall of {classes} labels", code="E_BUNDLE_EVIDENCE")
    for recalls in (contents.verification.recall_fp32, contents.verification.recall_compiled):
        if len(recalls) != classes:
            raise BundleError(
                f"{VERIFICATION_FILE}: expected the recall of {classes} labels, found {len(recalls)}",
                code="E_BUNDLE_EVIDENCE",
            )


def _read(read: Read, name: str, kind: type[T]) -> T:
    return from_json(kind, _read_bytes(read, name), where=name, error=BundleError)


def _read_if_there(read: Read, name: str, kind: type[T]) -> T | None:
    data = read(f"{EVIDENCE_FOLDER}/{name}")
    return None if data is None else from_json(kind, data, where=name, error=BundleError)


def _read_bytes(read: Read, name: str) -> bytes:
    data = read(f"{EVIDENCE_FOLDER}/{name}")
    if data is None:
        raise BundleError(f"{EVIDENCE_FOLDER}/{name}: expected this evidence file, found none", code="E_BUNDLE_EVIDENCE")
    return data
