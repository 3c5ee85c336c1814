"""What fuzzing found stays found: the kept corpus runs through each target once, under the sanitizers."""

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.mark.parametrize("target", ["manifest", "guard", "bundle", "frame", "exam", "onnx"])
def test_the_kept_corpus_runs_through(sanitized: Any, firmware: ModuleType, target: str, tmp_path: Any) -> None:
    folder = Path(__file__).with_name("corpus") / target
    files = list(folder.iterdir())
    assert len(files) > 10
    out = sanitized.run(f"replay_fuzz_{target}", folder, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert out == f"replayed {len(files)}\n"
    assert list(tmp_path.iterdir()) == []  # what the target made there is gone
