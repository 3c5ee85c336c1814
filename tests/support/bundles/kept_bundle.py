"""Make ``tests/fixtures/bundle-v1``: a signed bundle of the present format, kept so that later readers must still open it.

Run once for each format, with ``make bundle-fixture``; a bundle that was released is never made anew. The key that signs it
is drawn for it and thrown away; the public one lies beside it.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from support import factories
from support.bundles import toy
from support.bundles.reports import small_contents, small_manifest
from support.bundles.signing_keys import write_pair
from weckd_edge.artifacts import ExamRule, FrameGuard, FrameWeights, GoldenFrames, OperatingPoint, QualityLimits
from weckd_edge.bundle.signing import sign
from weckd_edge.bundle.writer import seal
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import SCHEMA_VERSION, file_ref
from weckd_edge.devices.runtime.input_guard import FEATURES
from weckd_edge.report import write_documents, write_evidence

FIXTURES = Path(__file__).parents[2] / "fixtures"
BUNDLE = FIXTURES / f"bundle-v{SCHEMA_VERSION}"
PUBLIC_KEY = FIXTURES / f"bundle-v{SCHEMA_VERSION}.pub"


def make(folder: Path, public_key: Path) -> None:
    """Write, seal and sign the bundle; what lies there is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("selftest", "guard"):
        (folder / name).mkdir(parents=True)
    graph = toy.write_graph(folder / "model/model.onnx")
    frames = toy.frames()
    np.save(folder / "selftest/frames.npy", frames)
    np.save(folder / "selftest/expected.npy", toy.answers(graph, frames))
    guard = FrameGuard(
        limits=QualityLimits(),
        mean=(1.0,) * FEATURES,
        whitening=tuple((0.5,) * (row + 1) for row in range(FEATURES)),
        max_ood_score=None,
    )
    (folder / "guard/guard.json").write_text(to_json(guard))
    manifest = small_manifest(
        input=factories.input_spec(toy.SIDE, mean=(0.0,) * 3, std=(1.0,) * 3),
        operating_point=OperatingPoint(confidence_threshold=0.5),
        exam=ExamRule(
            weights=FrameWeights(sharpness_edges=(1.0,), confidence_edges=(0.5,), table=((1, 2), (2, 4))),
            duplicate_distance=0.25,
            max_frames=60,
            stop_lead=1_000_000,
            confidence_threshold=0.5,
        ),
        onnx=file_ref(folder, graph),
        models=tuple(
            toy.of_graph(
                backend,
                file_ref(folder, graph),
                expected=file_ref(folder, folder / "selftest/expected.npy"),
                tolerance=toy.TOLERANCE,
            )
            for backend in ("openvino", "onnxruntime")
        ),
        selftest=GoldenFrames(frames=file_ref(folder, folder / "selftest/frames.npy"), reference="onnxruntime 1 int8"),
        guard=file_ref(folder, folder / "guard/guard.json"),
        version=3,
    )
    contents = small_contents(manifest, count=36)
    write_evidence(folder, contents)
    write_documents(folder, contents)
    seal(folder, manifest)
    with tempfile.TemporaryDirectory() as place:
        private, public = write_pair(Path(place))
        sign(folder, private)
        shutil.copyfile(public, public_key)


if __name__ == "__main__":
    make(BUNDLE, PUBLIC_KEY)
    size = sum(path.stat().st_size for path in BUNDLE.rglob("*") if path.is_file())
    print(f"{BUNDLE}: {size} bytes")  # noqa: T201 - a program of its own
