"""The papers of a bundle: model card, ML-BOM, environment; nothing is claimed that was not stated or measured."""

from __future__ import annotations

import dataclasses
import json
from email.message import Message
from functools import cache
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.bundles import report_evidence as report
from support.errors import raises
from weckd_edge.artifacts import Attribute, BackboneLicence, Distribution, Environment, Estimate
from weckd_edge.cli.console.outcome import print_outcome
from weckd_edge.config import BuildConfig, LinkConfig, ModelCardConfig, ReportConfig, TeacherConfig
from weckd_edge.core.errors import BundleError, ConfigError
from weckd_edge.core.serialization import to_json
from weckd_edge.metrics import measure_metrics
from weckd_edge.report import BundleContents, read_contents, write_documents, write_evidence, write_report
from weckd_edge.report.documents.licences import licence_of, read_environment, requirements, used_distributions
from weckd_edge.report.documents.model_card_inputs import NOT_STATED, stated
from weckd_edge.report.json_summaries import bundle_summary

pytest.importorskip("jinja2")
pytest.importorskip("cyclonedx")

ENVIRONMENT = Environment(
    python="CPython 3.11.7",
    system="Debian GNU/Linux 12 (bookworm)",
    kernel="Linux 6.1 x86_64",
    processor="Intel Xeon",
    distributions=(
        Distribution(name="numpy", version="2.4.6", licence="BSD-3-Clause AND MIT"),
        Distribution(name="openvino", version="2026.4.1", licence="Apache Software License"),
        Distribution(name="secret|sauce", version="1", licence="unknown"),
    ),
    backbones=(
        BackboneLicence(
            link="M1", model="mobilenetv2_100", weights="trunk.safetensors", sha256="a" * 64, licence="Apache-2.0"
        ),
        BackboneLicence(link="M2", model="mobilenetv2_050", weights="pretrained", sha256=None, licence=None),
    ),
)


def full(card: ModelCardConfig | None = None) -> BundleContents:
    """Return evidence with everything that the papers speak of."""
    evidence = _measured()
    return dataclasses.replace(
        evidence,
        build=dataclasses.replace(evidence.build, config=to_json(BuildConfig(model_card=card or ModelCardConfig()))),
    )


@cache
def _measured() -> BundleContents:
    evidence = report.full_evidence()
    images = tuple(
        dataclasses.replace(image, attributes=(Attribute(column="site", value=("north", "south")[n // 4 % 2]),))
        for n, image in enumerate(evidence.dataset.images)
    )
    dataset = dataclasses.replace(evidence.dataset, images=images, named_groups=0)
    return dataclasses.replace(
        evidence,
        dataset=dataset,
        metrics=measure_metrics(evidence.verification, dataset, ReportConfig()),
        audit=report.probes(),
        environment=ENVIRONMENT,
    )


def papers(folder: Path, evidence: BundleContents, **manifest: Any) -> tuple[str, dict[str, Any]]:
    write_evidence(folder, evidence)
    write_documents(folder, read_contents(folder, report.make_manifest(**manifest)))
    bom: dict[str, Any] = json.loads((folder / "evidence/sbom.cdx.json").read_text())
    return (folder / "evidence/model_card.md").read_text(), bom


def test_the_card_has_the_sections_of_mitchell_and_what_is_ours(tmp_path: Path) -> None:
    card, _ = papers(tmp_path, full())
    heads = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert heads == [
        "Model details",
        "Intended use",
        "Training",
        "Data",
        "Metrics",
        "Calibration",
        "Unable to analyze",
        "Examinations",
        "Prediction flips: what compression changed",
        "Data audit: leaks and shortcuts",
        "Gates",
        "Ethical considerations",
        "Limitations, caveats and recommendations",
        "Environment and licences",
        "How to verify this bundle",
    ]


def test_what_the_builder_did_not_say_is_called_so(tmp_path: Path) -> None:
    card, bom = papers(tmp_path, full())
    assert card.count(NOT_STATED) >= 9
    for name in ("owner", "intended use", "out of scope", "terms of use"):
        assert f"| {name} | {NOT_STATED} |" in card
    considerations = bom["metadata"]["component"]["modelCard"]["considerations"]
    assert not considerations.keys() & {"users", "useCases", "ethicalConsiderations"}
    assert "licenses" not in bom["metadata"]["component"]


def test_what_the_builder_stated_is_in_both_documents(tmp_path: Path) -> None:
    said = ModelCardConfig(
        owner="Clinic | North",
        licence="MIT",
        intended_use="Sorting frames.",
        out_of_scope=("diagnosis",),
        data_owner="Archive",
        data_licence="research only",
        ethical="Consent was asked.",
        caveats=("One camera.",),
    )
    card, bom = papers(tmp_path, full(said))
    assert "| owner | Clinic \\| North |" in card
    assert "| out of scope | diagnosis |" in card
    assert "- Stated by the builder: One camera." in card
    model = bom["metadata"]["component"]
    assert model["licenses"] == [{"license": {"id": "MIT"}}]
    assert model["supplier"]["name"] == "Clinic | North"
    assert model["modelCard"]["considerations"]["useCases"] == ["Sorting frames."]
    assert "Out of scope: diagnosis" in model["modelCard"]["considerations"]["technicalLimitations"]
    dataset = next(part for part in bom["components"] if part["type"] == "data")
    assert dataset["data"][0]["governance"] == {"owners": [{"organization": {"name": "Archive"}}]}


def test_synthetic_data_are_in_the_first_lines_of_the_card(tmp_path: Path) -> None:
    card, bom = papers(tmp_path, full(), synthetic=True)
    assert "Synthetic data." in "".join(card.splitlines()[:4])
    assert any(
        "synthetic images" in line
        for line in bom["metadata"]["component"]["modelCard"]["considerations"]["technicalLimitations"]
    )


def test_what_is_noted_of_the_chain_is_in_the_card_the_page_and_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evidence = full()
    said = "Links of it start from random weights instead."
    noted = dataclasses.replace(evidence, chain=dataclasses.replace(evidence.chain, notes=(said,)))
    card, _ = papers(tmp_path, noted)
    contents = read_contents(tmp_path, report.make_manifest())
    assert said in card
    write_report(contents, tmp_path / "r.html")
    assert said in (tmp_path / "r.html").read_text()
    assert bundle_summary(contents, tmp_path)["chain_notes"] == [said]
    print_outcome(contents, tmp_path)
    assert f"note: {said}" in "".join(capsys.readouterr())


def test_evidence_that_is_not_there_is_reported_and_not_filled_in(tmp_path: Path) -> None:
    bare = dataclasses.replace(report.make_evidence(), measurement=None)
    card, bom = papers(tmp_path, bare)
    for line in (
        "The evidence has no metrics by class and slice.",
        "Not measured: the evidence has no record of abstention.",
        "The data audit was skipped.",
        "The evidence has no record of the environment.",
        "| end-to-end latency | not measured |",
    ):
        assert line in card
    kinds = {m["type"] for m in bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]}
    assert kinds == {"accuracy", "sensitivity"}


def test_figures_of_classes_and_slices_are_in_both_documents_with_intervals(tmp_path: Path) -> None:
    evidence = full()
    card, bom = papers(tmp_path, evidence)
    assert "### Slices, as deployed" in card
    assert "| site north (" in card
    metrics = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert evidence.metrics is not None
    accuracy = evidence.metrics.compiled.accuracy
    first = metrics[0]
    assert (first["type"], first["value"]) == ("accuracy", f"{accuracy.value:.4f}")
    assert first["confidenceInterval"] == {"lowerBound": f"{accuracy.low:.4f}", "upperBound": f"{accuracy.high:.4f}"}
    assert any(m["type"] == "sensitivity" and "site north" in m["slice"] and "class normal" in m["slice"] for m in metrics)
    assert {"specificity", "ppv", "auc", "expected calibration error"} <= {m["type"] for m in metrics}


def test_limits_rest_on_what_was_found(tmp_path: Path) -> None:
    card, _ = papers(tmp_path, full())
    assert "than the most common class: size. The network may use them too." in card.split("## Limitations")[1]
    evidence = full()
    assert evidence.audit is not None
    assert evidence.audit.folds is not None
    optimistic = dataclasses.replace(evidence.audit.folds, optimism=Estimate(value=0.08, low=0.05, high=0.11))
    card, _ = papers(tmp_path, dataclasses.replace(evidence, audit=dataclasses.replace(evidence.audit, folds=optimistic)))
    assert "would overestimate the accuracy by 8.0 points" in card.split("## Limitations")[1]


def test_licences_and_hashes_are_named_and_an_unknown_licence_is_called_so(tmp_path: Path) -> None:
    card, bom = papers(tmp_path, full())
    assert "| secret\\|sauce | 1 | unknown |" in card
    assert "M2 started from pretrained weights `pretrained`; their licence: not stated." in card
    parts = {part["name"]: part for part in bom["components"]}
    assert parts["numpy"]["licenses"] == [{"expression": "BSD-3-Clause AND MIT"}]
    assert parts["openvino"]["licenses"] == [{"license": {"name": "Apache Software License"}}]
    assert "licenses" not in parts["secret|sauce"]
    assert parts["trunk.safetensors"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert parts["python"]["version"] == "3.11.7"
    files = {one["name"]: one["hashes"][0]["content"] for one in bom["metadata"]["component"]["components"]}
    assert files["model/openvino/model.xml"] == report.sha("model/openvino/model.xml")
    assert bom["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"] == [{"ref": "dataset"}]


def test_the_bill_of_materials_is_reproducible_and_its_serial_number_follows_its_content(tmp_path: Path) -> None:
    _, first = papers(tmp_path / "a", full())
    _, again = papers(tmp_path / "b", full(), manifest_sha256="1" * 64)
    assert again == first
    assert "timestamp" not in first["metadata"]
    _, renamed = papers(tmp_path / "c", full(), name="another")
    _, stated_more = papers(tmp_path / "d", full(ModelCardConfig(owner="somebody")))
    assert len({bom["serialNumber"] for bom in (first, renamed, stated_more)}) == 3


@pytest.mark.parametrize("kind", ["bare", "full", "stated"])
def test_the_bill_of_materials_keeps_to_the_official_schema(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="cyclonedx-python-lib[json-validation] is not installed")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    said = ModelCardConfig(owner="o", contact="c", licence="Apache-2.0", data_owner="d", ethical="e", intended_users="u")
    evidence = {"bare": report.make_evidence(), "full": full(), "stated": full(said)}[kind]
    papers(tmp_path, evidence)
    text = (tmp_path / "evidence/sbom.cdx.json").read_text()
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    broken = json.loads(text)
    broken["metadata"]["component"]["modelCard"]["invented"] = True
    assert validator.validate_str(json.dumps(broken)) is not None, "the schema is not looked at"


def test_a_config_that_is_none_is_an_error_of_the_bundle() -> None:
    build = report.make_evidence().build
    assert stated(build) == ModelCardConfig()
    with raises(BundleError, "E_RECORD_KEY_UNKNOWN", says="'ownr'"):
        stated(dataclasses.replace(build, config='{"model_card": {"ownr": "x"}}'))
    with raises(BundleError, "E_BUNDLE_EVIDENCE"):
        stated(dataclasses.replace(build, config="{"))


def test_empty_words_are_refused() -> None:
    with raises(ConfigError, "E_CONFIG_VALUE"):
        ModelCardConfig(owner=" ")
    with raises(ConfigError, "E_CONFIG_VALUE", says="weights_licence"):
        LinkConfig(model="resnet10t", weights_licence=" ")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"License-Expression": "MIT", "License": "other"}, "MIT"),
        ({"License": "Apache-2.0"}, "Apache-2.0"),
        ({"License": "a whole\nlicence text", "Classifier": "License :: OSI Approved :: BSD License"}, "BSD License"),
        ({"License": "\n  The Licence of X  \nmore"}, "The Licence of X"),
        ({"License": "UNKNOWN"}, "unknown"),
        ({"Classifier": "License :: OSI Approved"}, "unknown"),
    ],
)
def test_the_licence_is_what_the_distribution_says(fields: dict[str, str], expected: str) -> None:
    about = Message()
    for name, value in fields.items():
        about[name] = value
    assert licence_of(about) == expected  # type: ignore[arg-type]


def test_requirements_count_by_the_extras_that_were_asked_for() -> None:
    lines = ("fsspec[http]>=2", "ruff; extra == 'dev'", "Jinja_2.x>=3 ; extra == 'report'")
    assert dict(requirements(lines, frozenset({"report"}))) == {"fsspec": frozenset({"http"}), "jinja-2-x": frozenset()}
    assert [name for name, _ in requirements(lines, frozenset())] == ["fsspec"]
    assert [name for name, _ in requirements(lines, frozenset({"dev"}))] == ["fsspec", "ruff"]


def test_what_another_python_or_machine_requires_does_not_count() -> None:
    lines = (
        "older; python_version < '3'",
        "newer; python_version >= '3'",
        "both; python_version >= '3' and extra == 'x'",
        "elsewhere; sys_platform == 'none such'",
        "either; sys_platform == 'none such' or extra == 'x'",
    )
    assert [name for name, _ in requirements(lines, frozenset())] == ["newer"]
    assert [name for name, _ in requirements(lines, frozenset({"x"}))] == ["newer", "both", "either"]


def test_a_line_that_is_no_requirement_is_left_out() -> None:
    assert [name for name, _ in requirements(("good", "bad (>dev)", "??"), frozenset())] == ["good"]


def test_what_only_developers_need_is_no_part_of_what_made_a_bundle() -> None:
    required = {"weckd-edge": ["a; extra == 'x'", "b; extra == 'dev'"], "a": None, "b": None}

    def find(name: str) -> Any:
        about = Message()
        about["Name"] = name
        for extra in ("x", "dev"):
            about["Provides-Extra"] = extra
        return SimpleNamespace(metadata=about, version="1", requires=required[name])

    assert [one.name for one in used_distributions(find)] == ["a", "weckd-edge"]


def test_what_is_required_in_turn_is_listed_once_and_what_is_absent_is_not() -> None:
    required = {"weckd-edge": ["a[x]", "absent"], "a": ["b", "c; extra == 'x'"], "b": ["a"], "c": None}

    def find(name: str) -> Any:
        if name not in required:
            raise PackageNotFoundError(name)
        about = Message()
        about["Name"] = name.upper()
        return SimpleNamespace(metadata=about, version="1", requires=required[name])

    assert [one.name for one in used_distributions(find)] == ["A", "B", "C", "weckd-edge"]


def test_the_environment_names_weights_by_digest_and_holds_no_path(tmp_path: Path) -> None:
    (tmp_path / "trunk.safetensors").write_bytes(b"weights")
    links = (LinkConfig(model="m", weights=str(tmp_path / "trunk.safetensors")), LinkConfig(model="n"))
    teacher = TeacherConfig(model="hf_hub:big/net", head="ridge", weights_licence="CC-BY-NC-4.0")
    found = read_environment([("M1", links[0]), ("M2", links[1]), ("teacher 1", teacher)], host="Xeon")
    assert [(backbone.link, backbone.weights, backbone.licence) for backbone in found.backbones] == [
        ("M1", "trunk.safetensors", None),
        ("teacher 1", "pretrained", "CC-BY-NC-4.0"),
    ]
    text = to_json(found)
    assert str(tmp_path) not in text
    assert str(Path.home()) not in text
    assert "numpy" in {one.name for one in found.distributions}
