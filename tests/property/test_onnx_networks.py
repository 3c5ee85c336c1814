"""What is deployed of a random small ONNX network answers as ONNX Runtime does on the file itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
ov = pytest.importorskip("openvino")

from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput  # noqa: E402 - behind the skips
from weckd_edge.compile.importing import imported_network  # noqa: E402
from weckd_edge.compile.importing.hints import InputHints  # noqa: E402
from weckd_edge.compile.importing.imported_network import import_network, wrap_network  # noqa: E402
from weckd_edge.compile.importing.network import read_onnx  # noqa: E402
from weckd_edge.train.distill.evaluate import network_pixels  # noqa: E402

EXAMPLES = 40
SEVERAL = {"logits", "softmax", "softmax 1", "log softmax", "by hand", "reshaped", "four axes"}
TOLERANCE = 5e-5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY = ((0.45, 0.45, 0.45), (0.25, 0.25, 0.25))
PREPROCESSING = cache(imported_network.preprocessing_graph)

networks = st.fixed_dictionaries(
    {
        "opset": st.integers(7, onnx.defs.onnx_opset_version()),
        "side": st.sampled_from([8, 11]),
        "layout": st.sampled_from(["nchw", "nhwc"]),
        "kind": st.sampled_from(["float32", "float32", "uint8"]),
        "channels": st.sampled_from([3, 3, 1]),
        "answers": st.sampled_from([*sorted(SEVERAL), "sigmoid", "logit"]),
    }
)


def by_hand(answers: NDArray[np.float32], kind: str) -> NDArray[Any]:
    """Probabilities from what a file answers, ``[classes]``."""
    values = answers.astype(np.float64).reshape(-1)
    if kind == "sigmoid":
        return np.array([1 - values[0], values[0]])
    if kind == "logit":
        values = np.array([0.0, values[0]])
    if kind in ("logits", "logit", "log softmax"):
        powers = np.exp(values - values.max())
        return powers / powers.sum()
    return values


def as_file_takes(pixels: NDArray[np.float32], form: dict[str, Any], order: str) -> NDArray[Any]:
    """Normalised pixels ``[1, 3, S, S]``, red first, as the file takes them."""
    image = pixels
    if form["channels"] == 1:
        image = 0.299 * pixels[:, :1] + 0.587 * pixels[:, 1:2] + 0.114 * pixels[:, 2:]
    elif order == "bgr":
        image = pixels[:, ::-1]
    if form["kind"] == "uint8":
        image = np.rint(image).astype(np.uint8)
    return np.ascontiguousarray(image if form["layout"] == "nchw" else image.transpose(0, 2, 3, 1))


def session_of(path: Path, model: Any) -> Any:
    """A session of a file, or of what was read of it where ONNX Runtime has an operator of the file in no form."""
    try:
        return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except ort.capi.onnxruntime_pybind11_state.NotImplemented:
        return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def compile_for_openvino(path: Path) -> Any:
    return ov.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data(), form=networks)
def test_a_random_network_predicts_as_its_file_does_in_onnx_runtime_and_openvino(
    onnx_toys: ModuleType, data: Any, form: dict[str, Any]
) -> None:
    model = onnx_toys.classifier(lambda values: data.draw(st.sampled_from(values)), **form)
    order = "bgr" if form["channels"] == 3 and data.draw(st.booleans()) else "rgb"
    mean, std = GREY if form["channels"] == 1 else (MEAN, STD)
    said = {} if form["kind"] == "uint8" else {"mean": mean, "std": std}
    labels = ("a", "b") if form["answers"] not in SEVERAL else ("a", "b", "c")
    side = form["side"]
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(imported_network, "preprocessing_graph", PREPROCESSING)
        folder = Path(name)
        path = folder / "toy.onnx"
        path.write_bytes(model.SerializeToString())
        brought = read_onnx(path, InputHints(channel_order=order, **said))
        draw = np.random.default_rng(0)
        frames = draw.integers(0, 256, (3, 1, 2 * side, 2 * side, 3), np.uint8)
        contract = InputSpec(
            frame=FrameSpec(height=2 * side, width=2 * side, crop="center"),
            network=NetworkInput(height=side, width=side, mean=brought.form.mean, std=brought.form.std),
        )
        pixels = [network_pixels(frame, contract) for frame in frames]
        made = import_network(brought, pixels[:1], labels, folder)
        wrap_network(folder / made.onnx.path, contract, labels, made.onnx.sha256, folder)
        file = session_of(path, brought.file_model)
        deployed = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        try:
            compiled = compile_for_openvino(folder / "model.onnx")
        except RuntimeError:  # it fails to compile a Mish in some places, whoever wrote it
            with pytest.raises(RuntimeError):
                compile_for_openvino(path)
            assume(False)
        for frame, image in zip(frames, pixels, strict=True):
            expected = by_hand(file.run(None, {"image": as_file_takes(image, form, order)})[0], form["answers"])
            one = deployed.run(None, {"frame": frame})[0].reshape(-1)
            other = compiled(frame)[0].reshape(-1)
            assert np.abs(one - expected).max() < TOLERANCE, "ONNX Runtime"
            assert np.abs(other - expected).max() < 4 * TOLERANCE, "OpenVINO"
