"""A graph of 84 weights from a uint8 frame, or its pixels, to three probabilities, and bundles of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from support import factories
from weckd_edge.artifacts import (
    BuiltModel,
    ExamRule,
    FileRef,
    FrameGuard,
    FrameSpec,
    GoldenFrames,
    InputSpec,
    Manifest,
    NetworkInput,
    OperatingPoint,
    Precision,
    Resize,
)
from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.bundle.writer import seal
from weckd_edge.compile.backends.tensorrt_forms import FRONT_END_FILE, take_float_frame
from weckd_edge.compile.export.front_end_graph import make_front_end
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import file_ref
from weckd_edge.devices.images.area_resize import resize_area
from weckd_edge.devices.jetson.recipe import DerivedForms, GraphFile, write_recipe
from weckd_edge.devices.jetson.version_rules import Form
from weckd_edge.devices.profiles.profile import load_profile
from weckd_edge.devices.runtime.front_end import FrontEnd

SIDE = 8
LABELS = ("effusion", "normal", "wax")
FORMS: tuple[Form, ...] = ("float32-frame", "float16", "plain")
RANGES = {"frame": 255.0, "out of Conv_1": 3.5, "a tensor that was fused away": 1.0}
WIDE = (12, 20)
"""Height and width of the frames of which the front end makes the graph's pixels, where a bundle resizes by area."""

IN_C: dict[str, Any] = {"backends": ("openvino", "onnxruntime", "echo"), "onnx_precision": "fp32"}
"""What makes a bundle for the C library: it has a stand-in for a model, and runs int8 models in OpenVINO as an IR alone."""

TOLERANCE = 1e-3
RECIPE_TOLERANCE = 0.02


def input_spec(resize: Resize = "bilinear") -> InputSpec:
    """Return the input of a bundle: a frame of the network's own size, or a wider one that is resized by area."""
    height, width = WIDE if resize == "area" else (SIDE, SIDE)
    return InputSpec(
        frame=FrameSpec(height=height, width=width, crop="center", resize=resize),
        network=NetworkInput(height=SIDE, width=SIDE, mean=(0.0,) * 3, std=(1.0,) * 3),
    )


def area_input_spec(height: int = 27, width: int = 35) -> InputSpec:
    """Return the input of a bundle whose graph takes pixels, which a front end makes of frames of that size."""
    spec = input_spec("area")
    return replace(spec, frame=replace(spec.frame, height=height, width=width))


def write_graph(
    path: Path,
    *,
    seed: int = 0,
    image: str = "image",
    dynamic: bool = False,
    kind: str = "uint8",
    takes: str = "frame",
) -> Path:
    """Write Cast, Transpose, Mul, Conv, ReduceMean, Softmax; ``image`` names the tensor in front of the network.

    Args:
        path: Where.
        seed: Of the weights.
        image: Name of the tensor between preprocessing and network.
        dynamic: Leave the frame's height open.
        kind: Type of the frame.
        takes: Name of the input.
    """
    random = np.random.default_rng(seed)
    weights = (random.standard_normal((3, 3, 3, 3)) * 2).astype(np.float32)
    types = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "int32": TensorProto.INT32}
    frame = helper.make_tensor_value_info(takes, types[kind], [1, "height" if dynamic else SIDE, SIDE, 3])
    answer = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, len(LABELS)])
    nodes = [
        helper.make_node("Cast", [takes], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "scale"], [image]),
        helper.make_node("Conv", [image, "weights", "bias"], ["features"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["features"], ["logits"], axes=[2, 3], keepdims=0),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"),
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.zeros(3, np.float32), "bias"),
    ]
    graph = helper.make_graph(nodes, "toy", [frame], [answer], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def write_form(folder: Path, graph: Path, form: Form) -> GraphFile:
    """Write another form of a graph: the same arithmetic, told apart by a word in its documentation, or a float frame."""
    model = onnx.load(graph)
    model.doc_string = form
    if form == "float32-frame":
        model = take_float_frame(model)
    path = folder / f"model-{form}.onnx"
    onnx.save(model, path)
    return GraphFile(form=form, name=path.name, sha256=file_ref(folder, path).sha256, opset=17)


def write_front_end(folder: Path, spec: InputSpec) -> FileRef:
    """Write the front end as a graph."""
    path = folder / FRONT_END_FILE
    onnx.save(make_front_end(spec), path)
    return file_ref(folder, path)


def frames(count: int = 4, *, side: int = SIDE, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Return ``[N, side, side, 3]``, or of another size, each of another colour, so that answers differ."""
    random = np.random.default_rng(1)
    light = random.integers(0, 256, (count, 1, 1, 3))
    return ((light + random.integers(0, 64, (count, *(size or (side, side)), 3))) // 2).astype(np.uint8)


def answers(graph: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return ONNX Runtime's answers ``[N, classes]`` for what the graph takes."""
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    found: NDArray[np.float32] = np.concatenate([session.run(None, {name: image[None]})[0] for image in images])
    return found


def pixels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what the graph takes of frames of ``WIDE``: their centred square, resized by area."""
    height, width = WIDE
    left = (width - height) // 2
    return np.stack([resize_area(image[:, left : left + height], SIDE, SIDE) for image in images])


def of_graph(backend: str, onnx: FileRef, precision: Precision = "int8", **changes: Any) -> BuiltModel:
    """Return the entry of a backend that runs the ONNX graph."""
    made = BuiltModel(
        backend=backend,
        backend_version="1",
        precision=precision,
        kind="model",
        files=(onnx,),
        source_sha256=onnx.sha256,
        settings={"INFERENCE_PRECISION_HINT": "f32"} if backend == "openvino" else {},
    )
    return replace(made, **changes)


def with_graph(manifest: Manifest, graph: FileRef) -> Manifest:
    """Return a manifest whose ONNX graph is another file, for the entries that run it too."""
    models = tuple(
        replace(model, files=(graph,), source_sha256=graph.sha256) if model.files == (manifest.onnx,) else model
        for model in manifest.models
    )
    return replace(manifest, onnx=graph, models=models)


def write_bundle(
    folder: Path,
    *,
    device: str = "generic-x86",
    models: Sequence[BuiltModel] = (),
    backends: Sequence[str] = ("openvino", "onnxruntime"),
    tolerance: float = TOLERANCE,
    confidence_threshold: float = 0.0,
    non_gradeable_labels: tuple[str, ...] = (),
    guard: FrameGuard | None = None,
    exam: ExamRule | None = None,
    recipe: bool | None = None,
    onnx_precision: Precision = "int8",
    resize: Resize = "bilinear",
    spec: InputSpec | None = None,
    **graph: Any,
) -> Bundle:
    """Write, seal and open a bundle; for a Jetson it holds a recipe.

    Args:
        folder: Where; files that ``models`` name must lie there already.
        device: Id of the profile.
        models: Built models that stand before those of the ONNX graph; without golden predictions, they get the graph's.
        backends: Backends that run the ONNX graph.
        tolerance: Of the self-test; a recipe's is ``RECIPE_TOLERANCE``.
        confidence_threshold: The operating point.
        non_gradeable_labels: Likewise.
        guard: The frame guard.
        exam: The rule of an examination; None: the plain one.
        recipe: Whether there is a recipe; None: where the profile is a Jetson.
        onnx_precision: Of the graph.
        resize: How the network's input is made of the frame; by area it is made of frames of ``WIDE``.
        spec: The input; None: ``input_spec(resize)``.
        graph: For ``write_graph``.
    """
    profile, spec = load_profile(device), spec or input_spec(resize)
    model = folder / "model/model.onnx"
    if not model.exists():
        write_graph(model, takes=spec.graph_input_name, **graph)
    onnx_ref = file_ref(folder, model)
    built = list(models)
    if profile.target == "jetson" if recipe is None else recipe:
        (folder / "model/tensorrt").mkdir(exist_ok=True)
        forms = tuple(write_form(folder / "model/tensorrt", model, form) for form in FORMS)
        front_end = write_front_end(folder / "model/tensorrt", spec) if spec.graph_takes_pixels else None
        derived = DerivedForms(graphs=forms, ranges=RANGES, front_end=front_end)
        write_recipe(folder / "model/tensorrt", onnx_ref, profile, forms=derived, opset=17)
        built.append(
            BuiltModel(
                backend="tensorrt",
                backend_version="",
                precision="int8",
                kind="recipe",
                files=tuple(file_ref(folder, path) for path in sorted((folder / "model/tensorrt").iterdir())),
                source_sha256=onnx_ref.sha256,
                tolerance=RECIPE_TOLERANCE,
            )
        )
    taken = {entry.name for entry in built if entry.kind == "model"}
    entries = [of_graph(backend, onnx_ref, onnx_precision) for backend in backends]
    built += [entry for entry in entries if entry.name not in taken]
    if guard is not None:
        (folder / "guard").mkdir(exist_ok=True)
        (folder / "guard/guard.json").write_text(to_json(guard))
    (folder / "selftest").mkdir(exist_ok=True)
    golden = frames(size=(spec.frame.height, spec.frame.width))
    np.save(folder / "selftest/frames.npy", golden)
    front_end = FrontEnd(spec)
    np.save(
        folder / "selftest/expected.npy", answers(model, np.concatenate([front_end.pixels(frame[None]) for frame in golden]))
    )
    seal(
        folder,
        factories.manifest(
            target=profile.target,
            device=device,
            labels=LABELS,
            input=spec,
            input_name=spec.graph_input_name,
            operating_point=OperatingPoint(
                confidence_threshold=confidence_threshold, non_gradeable_labels=non_gradeable_labels
            ),
            exam=exam or ExamRule(),
            guard=file_ref(folder, folder / "guard/guard.json") if guard is not None else None,
            models=tuple(
                entry
                if entry.kind == "preflight"
                else replace(
                    entry,
                    expected=entry.expected or file_ref(folder, folder / "selftest/expected.npy"),
                    tolerance=tolerance if entry.tolerance is None else entry.tolerance,
                )
                for entry in built
            ),
            onnx=onnx_ref,
            onnx_precision=onnx_precision,
            selftest=GoldenFrames(frames=file_ref(folder, folder / "selftest/frames.npy"), reference="onnxruntime 1 int8"),
            synthetic=True,
            versions={},
        ),
    )
    return open_bundle(folder)
