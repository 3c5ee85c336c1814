"""The report: one HTML file that needs no network, no script and nothing beside it."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Manifest, Verification
from weckd_edge.optional import require
from weckd_edge.report import abstaining, charts, findings, numbers, parity, probes
from weckd_edge.report.change_rows import ChangeText
from weckd_edge.report.evidence import Evidence, read_evidence
from weckd_edge.report.performance_rows import performance_text
from weckd_edge.store import write_atomic

THUMBNAIL_PIXELS = 240


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One test frame with its answer.

    Attributes:
        image: uint8 ``[H, W, 3]``, RGB.
        truth: Its true label.
        predicted: The decision of what ships.
        probability: Of that decision, 0..1.
    """

    image: NDArray[np.uint8]
    truth: str
    predicted: str
    probability: float


def write_report(
    folder: Path,
    manifest: Manifest,
    out: Path,
    samples: Sequence[Sample] = (),
    pictures: Mapping[str, NDArray[np.uint8]] | None = None,
    change: ChangeText | None = None,
) -> None:
    """Write the report of a bundle, sealed or not.

    Args:
        folder: The bundle; only ``evidence/`` is read.
        manifest: Its manifest, or the draft of it; ``files`` may still be empty.
        out: The HTML file. It must not lie in a sealed bundle.
        samples: Test frames to picture; they become part of the file.
        pictures: Frames, uint8 ``[H, W, 3]``, by the path of their image: those on which two implementations differ most.
            They become part of the file; where one is not there, its path is shown.
        change: What changed since another bundle, as a section of its own.

    Raises:
        BundleError: The evidence is incomplete or does not fit the manifest.
        MissingDependency: The extra ``report`` is not installed.
        StoreError: The file cannot be written.
    """
    evidence = read_evidence(folder, manifest)
    write_atomic(out, render("report.html.j2", {**_context(evidence, manifest, samples, pictures or {}), "change": change}))


def render(template: str, context: Mapping[str, Any]) -> str:
    """Fill in one of this package's templates; HTML is escaped.

    Raises:
        MissingDependency: The extra ``report`` is not installed.
    """
    jinja2 = require("jinja2", "write a report")
    folder = files("weckd_edge") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        percent=numbers.percent,
        interval=numbers.interval,
        milliseconds=numbers.milliseconds,
        seconds=numbers.seconds,
        count=numbers.count,
        size=numbers.size,
        significant=numbers.significant,
        difference=numbers.difference,
        points=numbers.points,
        breakable=_breakable,
        cell=_cell,
        accuracy=findings.accuracy_text,
        p_value=parity.p_value,
        decibel=parity.decibel,
    )
    environment.globals["plural"] = numbers.plural
    filled: str = environment.get_template(template).render(**context)
    return filled


def _context(
    evidence: Evidence, manifest: Manifest, samples: Sequence[Sample], pictures: Mapping[str, NDArray[np.uint8]]
) -> dict[str, Any]:
    verification, measurement = evidence.verification, evidence.measurement
    counts, abstained = findings.confusion(
        verification.predictions, len(manifest.labels), manifest.operating_point.abstain_below
    )
    bar_ms = next((gate.bar for gate in manifest.gates if gate.name == "latency_p90_ms"), None)
    data = findings.data_facts(evidence.dataset)
    return {
        "manifest": manifest,
        "evidence": evidence,
        "verification": verification,
        "selection": evidence.selection,
        "shipping": evidence.shipping,
        "weighed": [findings.weighed_row(link) for link in evidence.shipping.links],
        "measurement": measurement,
        "shipped": evidence.shipped,
        "verdict": findings.verdict(manifest),
        "gates": findings.gate_rows(manifest.gates),
        "loaded_bytes": findings.loaded_bytes(manifest),
        "chain_sentence": findings.chain_sentence(evidence.chain),
        "teachers": {link.name: findings.teacher_of(link, evidence.chain.links) for link in evidence.chain.links},
        "performance": performance_text(evidence.performance, manifest.labels),
        "confusion": counts,
        "abstained": abstained,
        "data": data,
        "abstention": evidence.abstention,
        "abstaining": abstaining.sentences(evidence.abstention) if evidence.abstention else [],
        "far_kinds": abstaining.kind_rows(evidence.abstention) if evidence.abstention else [],
        "frame": findings.frame_text(manifest.input),
        "disclaimer": findings.DISCLAIMER,
        "synthetic": findings.SYNTHETIC,
        "chain_chart": safe(_chain_chart(evidence, manifest.device)),
        "recall_chart": safe(
            charts.recall_by_class(manifest.labels, verification.recall_fp32, verification.recall_compiled)
        ),
        "latency_chart": safe(charts.latency_histogram(measurement.frame_to_answer, bar_ms)) if measurement else None,
        "share_chart": safe(charts.share_bar(data.splits)),
        **_parity(verification, manifest, pictures),
        "probes_about": probes.about(evidence.probes) if evidence.probes else "",
        "probe_sections": probes.sections(evidence.probes) if evidence.probes else (),
        "samples": [{"url": _data_url(s.image), "sample": s} for s in samples],
    }


def _parity(verification: Verification, manifest: Manifest, pictures: Mapping[str, NDArray[np.uint8]]) -> dict[str, Any]:
    """Return what the report shows of parity, calibration and precisions."""
    check = verification.calibration
    urls = {path: _data_url(image) for path, image in pictures.items()}
    apart = [
        {
            "pair": pair,
            "frames": [
                {
                    "url": urls.get(frame.path),
                    "path": frame.path,
                    "truth": manifest.labels[frame.label],
                    "gap": max(abs(p - q) for p, q in zip(frame.a, frame.b, strict=True)),
                    "bars": safe(charts.two_answers(manifest.labels, frame.a, frame.b, frame.label)),
                }
                for frame in pair.worst
            ],
        }
        for pair in verification.parity
        if pair.worst
    ]
    return {
        "apart": apart,
        "flips": [sentence for pair in verification.parity if pair.worst and (sentence := parity.flips_sentence(pair))],
        "partings": [
            {"parting": found, "sentence": parity.parting_sentence(found), "chart": safe(charts.layers(found))}
            for found in verification.partings
            if found.layers
        ],
        "calibration": check,
        "calibration_sentence": parity.calibration_sentence(check) if check else "",
        "calibration_rows": parity.calibration_rows(check) if check else [],
        "reliability_chart": safe(charts.reliability(check.before, check.after)) if check else None,
        "precisions": parity.precision_table(verification.executed),
    }


def _chain_chart(evidence: Evidence, device: str) -> str:
    """Draw the chain over its time where every link was compiled and weighed, else over multiply-adds."""
    links, twin, shipped = evidence.chain.links, evidence.chain.twin, evidence.shipped
    weighed = {link.name: link for link in evidence.shipping.links}
    known = bool(weighed) and all(link.latency.p90_ns is not None for link in weighed.values())
    points = []
    for link in links:
        found = weighed.get(link.name)
        time_ns = None if found is None else found.latency.p90_ns if known else found.here_p90_ns
        points.append(
            charts.Point(
                name=f"{link.name}{f' {found.precision}' if found else ''}{', ships' if link is shipped else ''}",
                cost=link.macs if time_ns is None else time_ns,
                accuracy=found.test_accuracy if found else link.test_accuracy,
                kind="shipped" if link is shipped else "link",
            )
        )
    if twin is not None:
        name = f"{links[-1].name} alone{', fp32' if weighed else ''}"
        points.append(charts.Point(name=name, cost=points[-1].cost, accuracy=twin.test_accuracy, kind="twin"))
    if not weighed:
        return charts.accuracy_against_cost(points, "multiply-adds of one image", "million", 1e6)
    how = evidence.shipping.links[-1].latency.label
    where = f"frame to answer, {'p90, ' if how == 'measured' else ''}{how} for {device}"
    if not known:
        where = "frame to answer, p90, on the machine that built it"
    return charts.accuracy_against_cost(points, where, "ms", 1e6)


def safe(svg: str) -> Any:
    """Mark a picture as HTML that is not to be escaped."""
    return require("markupsafe", "write a report").Markup(svg)


def _breakable(name: str) -> Any:
    """Let a long name wrap after its underscores, hyphens and dots, and nowhere else."""
    markupsafe = require("markupsafe", "write a report")
    return markupsafe.Markup(re.sub(r"([_.-]+)", r"\1<wbr>", str(markupsafe.escape(name))))


def _cell(text: str) -> str:
    """Make a name safe in Markdown: no pipes, backticks, brackets or line breaks that mean something there."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", " ".join(str(text).split()))


def _data_url(image: NDArray[np.uint8]) -> str:
    from PIL import Image

    picture = Image.fromarray(image).convert("RGB")
    picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
