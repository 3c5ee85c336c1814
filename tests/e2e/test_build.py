"""A whole build through the command line, and what can be done with its bundle."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.bundles.signing_keys import write_pair
from support.goldens import FOLDER, stable_json
from weckd_edge.core.optional_imports import is_installed

pytestmark = pytest.mark.slow

LITERT = is_installed("ai_edge_litert")
"""Whether a build here also writes LiteRT's int8 model."""

FIXED = ("model/", "selftest/", "evidence/dataset_index.json", "evidence/chain.json", "evidence/verification.json")
"""Files of a bundle that depend on inputs and versions alone; times are kept in the others."""

KEYS = {
    "build": {"bundle", "passed", "links", "deployed", "accuracy", "gates", "steps"},
    "accuracy": {"fp32", "compiled", "low", "high", "test_images", "test_groups"},
    "links": {"name", "parameters", "macs", "labels_used", "accuracy", "baseline_accuracy"},
    "gates": {"name", "limit", "value", "verdict"},
    "steps": {"name", "seconds", "reused"},
    "verify": {"bundle", "signature", "digests_ok", "selftest", "passed"},
    "selftest": {"backend", "frames", "max_abs", "flips", "passed"},
    "bench": {
        *("device", "rules", "verdict", "end_to_end", "network", "cold_start_ns", "peak_rss_bytes", "energy_mj"),
        "warnings",
    },
    "predict": {
        "file",
        "label",
        "probabilities",
        "decision",
        "reason",
        "code",
        "guard",
        "quality",
        "ood_score",
        "latency_ns",
        "notes",
    },
}


def fixed_files(bundle: Path) -> dict[str, bytes]:
    found = {p.relative_to(bundle).as_posix(): p for p in bundle.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name.startswith(FIXED)}


def outputs(process: Any, *args: str | Path) -> Any:
    done = process(*args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_build_prints_one_object_with_the_promised_keys(cpu: Any) -> None:
    summary = cpu.summary
    assert KEYS["build"] <= summary.keys()
    assert KEYS["accuracy"] <= summary["accuracy"].keys()
    for name in ("links", "gates", "steps"):
        assert all(KEYS[name] <= row.keys() for row in summary[name])
    assert [link["name"] for link in summary["links"]] == ["M1", "M2", "M3"]
    assert [link["macs"] for link in summary["links"]] == sorted((x["macs"] for x in summary["links"]), reverse=True)
    shipped = summary["deployed"]
    assert {key: shipped[key] for key in ("link", "precision", "backend")} == {
        "link": "M3",
        "precision": "int8",
        "backend": "openvino",
    }
    assert [link["name"] for link in summary["candidates"]] == ["M3"], "it misses no limit: the larger ones are not compiled"
    assert all(link["latency"]["label"] == "measured" and link["build_machine_p90_ns"] > 0 for link in summary["candidates"])
    accuracy = summary["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["compiled"] <= accuracy["high"] <= 1
    assert Path(summary["bundle"]) == cpu.bundle


def test_json_of_a_build_reads_as_its_golden(cpu: Any, golden: Callable[[Path, str], None]) -> None:
    told = json.loads(cpu.done.stdout)
    told["models"] = [model for model in told["models"] if not model["name"].startswith("litert")]  # where it is installed
    golden(FOLDER / "json/build.json", stable_json(json.dumps(told), cpu.bundle.parent, "words"))


def test_links_learn_from_disjoint_labelled_subsets_and_their_predecessor(cpu: Any) -> None:
    chain = json.loads((cpu.bundle / "evidence/chain.json").read_text())
    links = chain["links"]
    assert [link["parent"] for link in links] == [None, links[0]["weights"]["sha256"], links[1]["weights"]["sha256"]]
    assert [link["labelled_subset"] for link in links] == [0, 1, 2]
    assert chain["baseline"]["parent"] is None
    assert chain["baseline"]["model"] == links[-1]["model"]
    index = json.loads((cpu.bundle / "evidence/dataset_index.json").read_text())
    for link in links:
        assert link["labels_used"] == sum(image["labelled_subset"] == link["labelled_subset"] for image in index["images"])


def test_no_group_is_cut_by_a_split(cpu: Any) -> None:
    splits: dict[str, set[str]] = {}
    for image in json.loads((cpu.bundle / "evidence/dataset_index.json").read_text())["images"]:
        splits.setdefault(image["group"], set()).add(image["split"])
    assert {len(found) for found in splits.values()} == {1}


def test_bundle_is_laid_out_as_described_and_names_no_path_of_this_machine(cpu: Any) -> None:
    expected = {
        *(("model/litert/int8.tflite",) if LITERT else ()),
        *("manifest.json", "model/model.onnx", "model/openvino/model.xml", "model/openvino/model.bin"),
        *("selftest/frames.npy", "selftest/expected.npy", "evidence/report.html", "evidence/model_card.md"),
        *("evidence/sbom.cdx.json", "evidence/measurements.jsonl", "evidence/dataset_index.json"),
        *(
            "evidence/chain.json",
            "evidence/verification.json",
            "evidence/environment.json",
            "evidence/abstention.json",
            "evidence/exams.json",
            "guard/guard.json",
            "evidence/build.json",
            "evidence/precision_selection.json",
            "evidence/confusion_matrix.csv",
        ),
        *("evidence/link_selection.json", "evidence/metrics.json", "evidence/audit.json"),
    }
    found = {p.relative_to(cpu.bundle).as_posix() for p in cpu.bundle.rglob("*") if p.is_file()}
    sdk = {name for name in found if name.startswith("sdk/")}
    assert found - sdk == expected
    assert {"sdk/CMakeLists.txt", "sdk/include/weckd_edge.h", "sdk/src/runtime/open.c"} <= sdk
    for name in found:
        assert str(cpu.data.parent).encode() not in (cpu.bundle / name).read_bytes(), name


def test_the_rule_of_examinations_that_was_chosen_and_measured_is_the_one_that_the_device_reads(cpu: Any) -> None:
    found = json.loads((cpu.bundle / "evidence/exams.json").read_text())
    assert json.loads((cpu.bundle / "manifest.json").read_text())["exam"] == found["choice"]["rule"]
    tested = {
        image["group"]
        for image in json.loads((cpu.bundle / "evidence/dataset_index.json").read_text())["images"]
        if image["split"] == "test"
    }
    assert {one["exam"] for one in found["outcomes"]} == tested
    assert found["exams"] == len(tested)


def test_verify_passes_and_every_backend_here_predicts_the_golden_frames(cpu: Any, process: Any) -> None:
    result = outputs(process, "verify", cpu.bundle, "--json")
    assert KEYS["verify"] <= result.keys()
    assert result["passed"] is True
    assert result["signature"] == "unsigned"
    assert {test["backend"]: test["passed"] for test in result["selftest"]} == {
        **({"litert": True} if LITERT else {}),
        "openvino": True,
        "onnxruntime": True,
    }
    assert all(KEYS["selftest"] <= test.keys() and test["frames"] == 5 for test in result["selftest"])


def test_a_changed_byte_is_named_and_refused(cpu: Any, process: Any, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(cpu.bundle, copy)
    weights = copy / "model/openvino/model.bin"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    for command in (("verify", copy), ("predict", copy, cpu.data), ("bench", copy)):
        done = process(*command)
        assert done.returncode == 1
        assert "model/openvino/model.bin" in done.stderr
        assert done.stderr.count("\n") == 1


def test_predict_classifies_images_and_says_why_it_cannot(cpu: Any, process: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    image = next(cpu.data.rglob("*.png"), None) or next(cpu.data.rglob("*.jpg"))
    rows = outputs(process, "predict", cpu.bundle, image, tmp_path / "broken.jpg", "--json", "--ignore-guard")["images"]
    assert all(row.keys() == KEYS["predict"] for row in rows)
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert rows[0]["label"] == max(rows[0]["probabilities"], key=rows[0]["probabilities"].get)
    assert rows[1]["decision"] == "unable to analyze"
    assert "not an image" in rows[1]["reason"]


def test_probabilities_are_recalibrated_inside_the_graph_and_the_evidence_says_how(cpu: Any) -> None:
    onnx = pytest.importorskip("onnx")
    verification = json.loads((cpu.bundle / "evidence/verification.json").read_text())
    check = verification["calibration"]
    assert check["recalibration"]["predicted_by"] == "openvino int8"
    assert check["recalibration"]["val_nll_after"] <= check["recalibration"]["val_nll_before"]
    graph = onnx.load(cpu.bundle / "model/model.onnx").graph
    temperature = check["recalibration"]["temperature"]
    inverse = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name == "inverse_temperature"]
    assert [float(1 / value) for value in inverse] == ([] if temperature == 1 else [pytest.approx(temperature)])
    if inverse:
        assert verification["parity"][-2]["a"] == "openvino int8 without temperature, scaled"
    assert all(pair["passed"] for pair in verification["parity"])


def test_the_manifest_and_the_evidence_say_in_which_precision_it_runs(cpu: Any) -> None:
    models = json.loads((cpu.bundle / "manifest.json").read_text())["models"]
    assert [(m["backend"], m["precision"], m["settings"]) for m in models if m["backend"] != "litert"] == [
        ("openvino", "int8", {"INFERENCE_PRECISION_HINT": "f32"}),
        ("onnxruntime", "int8", {}),
    ]
    assert all(0 <= model["int8_layers"] <= model["layers"] for model in models)
    assert all(model["expected"]["path"] == "selftest/expected.npy" for model in models), "they run one graph"
    executed = json.loads((cpu.bundle / "evidence/verification.json").read_text())["executed"]
    assert sum(layer["kind"] == "Convolution" for layer in executed) > 10


def test_bench_prints_percentiles_in_order(cpu: Any, process: Any) -> None:
    result = outputs(process, "bench", cpu.bundle, "--queries", "64", "--warmup", "2", "--json", "--quiet")
    assert KEYS["bench"] <= result.keys()
    for figures in (result["end_to_end"], result["network"]):
        assert 0 < figures["p50_ns"] <= figures["p90_ns"] <= figures["p99_ns"]
        assert figures["samples"] == 64
    assert result["cold_start_ns"] > 0
    assert result["energy_mj"] is None


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]


def test_report_is_self_contained_with_its_four_pictures_and_says_synthetic(cpu: Any) -> None:
    html = (cpu.bundle / "evidence/report.html").read_text()
    parser = _Links()
    parser.feed(html)
    assert all(target.startswith(("data:", "#")) for target in parser.targets)
    assert not re.search(r"url\((?!['\"]?data:)|@import|<script src", html)
    for picture in ("Accuracy against cost", "Histogram of end-to-end", "Sensitivity of each class", "How the images"):
        assert f'aria-label="{picture}' in html
    assert html.count("<figure>") == 12
    assert "MACs of one image" in html
    assert "Selection of the deployed link" in html
    assert "Synthetic data" in html


def test_the_same_build_again_with_a_key_reuses_every_stage_writes_the_same_model_and_is_signed(
    cpu: Any, process: Any, tmp_path: Path
) -> None:
    pytest.importorskip("model_signing")
    for name in ("ours", "theirs"):
        write_pair(tmp_path, name)
    before = fixed_files(cpu.bundle)
    out = tmp_path / "again"
    shutil.copytree(cpu.bundle.with_name(f"{cpu.bundle.name}.work"), tmp_path / "again.work")
    summary = outputs(process, *cpu.arguments(out), "--sign", tmp_path / "ours.pem")
    measured = {"bench-M3", "bench-parts"}
    assert {stage["name"] for stage in summary["steps"] if not stage["reused"]} == measured
    assert fixed_files(out) == before
    assert outputs(process, "verify", out, "--key", tmp_path / "ours.pub", "--json")["signature"] == "valid"
    assert process("verify", out, "--key", tmp_path / "theirs.pub").returncode == 1
    assert process("verify", cpu.bundle, "--key", tmp_path / "ours.pub").returncode == 1


def test_killed_anywhere_and_run_again_it_ends_with_the_same_bytes(cpu: Any, process: Any, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    command = [sys.executable, "-m", "weckd_edge", *map(str, cpu.arguments(out))]
    work = tmp_path / "bundle.work"
    marks = ("scratch/link-M1-*/checkpoint.pt", "link-M2-*/artifact.json", "quantize-*/artifact.json")
    for mark in marks:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while child.poll() is None and not any(work.glob(mark)) and time.monotonic() < deadline:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        assert child.wait() in (-signal.SIGKILL, 0)
        assert any(work.glob(mark)), f"{mark} was never made"
    assert outputs(process, *cpu.arguments(out))["passed"]
    assert fixed_files(out) == fixed_files(cpu.bundle)


def test_ctrl_c_leaves_no_bundle_and_says_that_it_goes_on(cpu: Any, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    command = [sys.executable, "-m", "weckd_edge", *map(str, cpu.arguments(out))]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while child.poll() is None and not any((tmp_path / "bundle.work").glob("pixels-*")):
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "run the same command again to resume" in err
    assert "Traceback" not in err
    assert not out.exists()


def test_two_builds_at_once_in_one_place_are_refused(cpu: Any, process: Any, tmp_path: Path) -> None:
    import fcntl

    out = tmp_path / "bundle"
    (tmp_path / "bundle.work").mkdir()
    with (tmp_path / "bundle.work/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = process(*cpu.arguments(out))
    assert done.returncode == 1
    assert "another build is running" in done.stderr


def test_a_failed_gate_exits_3_and_the_bundle_is_marked(cpu: Any, process: Any, tmp_path: Path) -> None:
    out = tmp_path / "strict"
    shutil.copytree(cpu.bundle.with_name(f"{cpu.bundle.name}.work"), tmp_path / "strict.work")
    config = tmp_path / "strict.toml"
    config.write_text(cpu.config.read_text() + "min_accuracy = 1.0\nmax_latency_p90_ms = 0.000001\n")
    done = process("build", "--data", cpu.data, "--target", "cpu", "--config", config, "--out", out, "--quiet")
    assert done.returncode == 3, done.stderr
    assert "FAIL" in done.stdout
    assert "under 100.0%" in done.stdout
    assert "marked as not passing" in done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["passed"] is False
    assert {gate["name"] for gate in manifest["gates"] if gate["verdict"] == "FAIL"} == {
        "min_accuracy",
        "max_latency_p90_ms",
    }
    assert "Not passed" in (out / "evidence/report.html").read_text()
    assert process("verify", out).returncode == 0


def test_no_space_left_is_one_line_and_leaves_no_bundle(cpu: Any, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)); "
    code = f"{limit}from weckd_edge.cli.main import main; main({[str(a) for a in cpu.arguments(out)]!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    assert "no space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_jetson_build_proves_the_graph_and_leaves_the_engine_to_the_device(jetson: Any, process: Any) -> None:
    manifest = json.loads((jetson.bundle / "manifest.json").read_text())
    kinds = {model["backend"]: model for model in manifest["models"]}
    assert kinds["tensorrt"]["kind"] == "recipe"
    assert "finalize" in " ".join(kinds["tensorrt"]["detail"])
    recipe = json.loads((jetson.bundle / "model/tensorrt/recipe.json").read_text())
    assert recipe["onnx_sha256"] == manifest["onnx"]["sha256"]
    forms = {graph["form"]: graph["sha256"] for graph in recipe["graphs"]}
    assert (forms.keys(), recipe["left_out"]) == ({"float32", "float16", "float32-frame", "plain"}, {})
    assert recipe["front_end"] in [{**ref, "path": Path(ref["path"]).name} for ref in kinds["tensorrt"]["files"]]
    assert forms.items() <= {("float32", manifest["onnx"]["sha256"])} | {
        (form, ref["sha256"]) for form in forms for ref in kinds["tensorrt"]["files"]
    }
    proven = {model["source_sha256"]: model["detail"][0] for model in manifest["models"] if model["kind"] == "preflight"}
    assert proven.keys() == {forms["float32"], forms["float16"]}
    for told in proven.values():
        read, total = re.match(r"(\d+) of (\d+) convolutions and matrix", told).groups()  # type: ignore[union-attr]
        assert read == total
    verdicts = {gate["name"]: gate["verdict"] for gate in manifest["gates"]}
    assert verdicts["max_latency_p90_ms"] == verdicts["max_memory_mib"] == "INCONCLUSIVE"
    result = outputs(process, "verify", jetson.bundle, "--json")
    assert {test["backend"]: test["passed"] for test in result["selftest"]} == {
        "tensorrt": None,
        "onnxruntime": True,
        "openvino": True,
    }


def test_jetson_build_tells_where_the_engine_is_built_and_why(jetson: Any, process: Any, tmp_path: Path) -> None:
    out = tmp_path / "told"
    shutil.copytree(jetson.bundle.with_name(f"{jetson.bundle.name}.work"), tmp_path / "told.work")
    done = process("build", "--data", jetson.data, "--target", "jetson", "--config", jetson.config, "--out", out, "--quiet")
    assert done.returncode == 0, done.stderr
    assert "only runs on the module, TensorRT and L4T that built it" in done.stdout
    assert "weckd-edge finalize told" in done.stdout


def test_finalize_on_this_host_says_where_to_go(jetson: Any, process: Any) -> None:
    if Path("/etc/nv_tegra_release").exists():
        pytest.skip("this is a Jetson")
    done = process("finalize", jetson.bundle)
    assert done.returncode == 1
    assert "this is no Jetson" in done.stderr


def test_golden_frames_are_validation_images_and_calibration_saw_training_images_only(cpu: Any) -> None:
    from weckd_edge.devices.images.decoding import decode
    from weckd_edge.devices.images.fitting import fit_to_frame

    index = json.loads((cpu.bundle / "evidence/dataset_index.json").read_text())
    frames = np.load(cpu.bundle / "selftest/frames.npy")
    height, width = frames.shape[1:3]
    val = [image for image in index["images"] if image["split"] == "val"]
    known = {fit_to_frame(decode(cpu.data / image["path"]), height, width).tobytes() for image in val}
    assert all(frame.tobytes() in known for frame in frames)
    work = cpu.bundle.with_name(f"{cpu.bundle.name}.work")
    quantized = json.loads(next(work.glob("quantize-*/artifact.json")).read_text())["quantized"]
    assert quantized["calibration_images"] == 16
    assert re.fullmatch("[0-9a-f]{64}", quantized["calibration_sha256"])


def test_a_link_of_a_build_compiles_on_the_split_it_was_trained_with(cpu: Any, process: Any, tmp_path: Path) -> None:
    (folder,) = cpu.bundle.with_name(cpu.bundle.name + ".work").glob("link-M3-*")
    config = ("--config", cpu.config, "--seed", "99")
    for source in (folder, cpu.bundle):
        done = process(
            *(
                "compile",
                source,
                "--data",
                cpu.data,
                "--target",
                "cpu",
                *config,
                "--out",
                tmp_path / "out",
                "--json",
                "--quiet",
            )
        )
        assert done.returncode in (0, 3), done.stderr
        found = json.loads(done.stdout)
        assert found["links"][0]["name"] == "M3"
        assert found["links"][0]["labels_used"] == cpu.summary["links"][2]["labels_used"]
        assert found["accuracy"]["fp32"] == cpu.summary["accuracy"]["fp32"]
        assert "no test image was trained on" in found["imported"][0]
    uses = [
        {
            image["path"]: image["split"]
            for image in json.loads((bundle / "evidence/dataset_index.json").read_text())["images"]
        }
        for bundle in (cpu.bundle, tmp_path / "out")
    ]
    assert uses[0] == uses[1]
