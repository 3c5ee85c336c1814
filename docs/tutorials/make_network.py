"""Write a small ONNX classifier for the tutorial: ``python make_network.py IMAGES net.onnx``.

It stands for a file that you have. Random filters, averaged over the image, feed one layer that is fitted to the images by
ridge regression; its input is float32 ``[1, 3, 64, 64]``, red first, with mean 0.5 and standard deviation 0.25.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIDE, CHANNELS = 64, 32


def graph_of(weights: dict[str, np.ndarray], output: str) -> onnx.ModelProto:
    """Return the network up to one of its tensors."""
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("AveragePool", ["d"], ["e"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["e"], ["features"]),
        helper.make_node("Gemm", ["features", "matrix", "bias"], ["logits"], transB=1),
    ]
    kept = nodes if output == "logits" else nodes[:-1]
    used = {name for node in kept for name in node.input}
    size = weights["matrix"].shape[0 if output == "logits" else 1]
    graph = helper.make_graph(
        kept,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, size])],
        [numpy_helper.from_array(value, name) for name, value in weights.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def pixels(path: Path) -> np.ndarray:
    """Return an image as the network's input: float32 ``[1, 3, 64, 64]``."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return ((np.asarray(square, np.float32) / 255 - 0.5) / 0.25).transpose(2, 0, 1)[None]


def main(images: Path, out: Path) -> None:
    """Fit the last layer and write the file."""
    random = np.random.default_rng(0)
    labels = sorted(folder.name for folder in images.iterdir() if folder.is_dir())
    files = [(path, labels.index(path.parent.name)) for path in sorted(images.glob("*/*.*"))]
    weights = {
        "first": random.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32),
        "second": random.normal(0, 0.15, (CHANNELS, 16, 3, 3)).astype(np.float32),
        "matrix": np.zeros((len(labels), CHANNELS * 16), np.float32),
        "bias": np.zeros(len(labels), np.float32),
    }
    session = onnxruntime.InferenceSession(graph_of(weights, "features").SerializeToString())
    x = np.concatenate([session.run(None, {"image": pixels(path)})[0] for path, _ in files])
    y = np.eye(len(labels), dtype=np.float32)[[label for _, label in files]] * 6
    mean = x.mean(0)
    matrix = np.linalg.solve((x - mean).T @ (x - mean) + np.eye(x.shape[1]), (x - mean).T @ (y - y.mean(0))).T
    weights["matrix"] = matrix.astype(np.float32)
    weights["bias"] = (y.mean(0) - matrix @ mean).astype(np.float32)
    onnx.save(graph_of(weights, "logits"), str(out))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
