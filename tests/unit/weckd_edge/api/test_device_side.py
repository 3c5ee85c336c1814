"""On a device with the extra ``[cpu]`` alone, a bundle loads, predicts, verifies and measures itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")

LIBRARIES = """
import json, sys
import PIL.Image, click, numpy.random, rich.progress, openvino, openvino.properties
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
"""Lists what the libraries of the base package and of ``[cpu]`` load by themselves."""

ABSENT = ("torch", "timm", "scipy", "onnx", "onnxruntime", "jinja2", "model_signing", "cryptography", "mlperf_loadgen")

PROGRAM = f"""
import json, sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
import weckd_edge
bundle = weckd_edge.load("ear-bundle")
at_load = sorted({{name.partition(".")[0] for name in sys.modules}})
with bundle.open() as model:
    predicted = [prediction.decision for prediction in model.predict_many(["eardrum.png", "pictures"])]
verified = bundle.verify()
measured = bundle.bench(weckd_edge.BenchSettings(queries=64, warmup=0), power="none", out="bench")
judged = [gate.name for gate in bundle.judge(measured)]
after = sorted({{name.partition(".")[0] for name, module in sys.modules.items() if module is not None}})
print(json.dumps({{
    "at_load": at_load,
    "after": after,
    "predicted": predicted,
    "verified": [verified.passed, [test.backend for test in verified.selftest if test.passed]],
    "judged": judged,
    "measured": [len(measured.end_to_end.samples_ns), measured.backend],
    "accuracy": bundle.metrics.compiled.accuracy.value,
}}))
"""


def test_nothing_but_the_libraries_of_the_device_side_is_needed(here: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=here)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["predicted"] == ["normal", "normal", "effusion"]
    assert found["verified"] == [True, ["openvino"]]
    assert found["measured"] == [64, "openvino"]
    assert found["judged"] == ["max_latency_p90_ms"]
    assert 0.5 < found["accuracy"] < 1
    assert (here / "bench/bench.html").is_file()
    assert "openvino" not in found["at_load"]
    alone = subprocess.run([sys.executable, "-c", LIBRARIES], check=True, capture_output=True, text=True, cwd=here)
    others = set(found["after"]) - set(json.loads(alone.stdout)) - set(sys.stdlib_module_names)
    assert {name for name in others if not name.startswith("_")} == {"weckd_edge"}
