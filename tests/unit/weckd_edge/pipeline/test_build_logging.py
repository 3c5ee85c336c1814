"""A build and its logger: it is checked before work, handed to the training, and given the sealed bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from weckd_edge.config import BuildConfig, TrainConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.pipeline import build as module
from weckd_edge.pipeline.checks import check_logging
from weckd_edge.pipeline.request import BuildRequest

pytest.importorskip("tensorboard")


def request_of(ears: Path, out: Path, log_dir: Path | None = None) -> BuildRequest:
    train = TrainConfig(log="tensorboard", log_dir=None if log_dir is None else str(log_dir))
    return BuildRequest(data=ears, target="cpu", device=None, out=out, config=BuildConfig(train=train))


@pytest.mark.parametrize("place", ["ears/logs", "ears", "ear-bundle/logs", "ear-bundle"])
def test_logs_lie_neither_in_the_data_set_nor_in_the_bundle(place: str, ears: Path, tmp_path: Path) -> None:
    with raises(ConfigError, "E_CONFIG_OUT_PLACE", says="train.log_dir"):
        check_logging(request_of(ears, tmp_path / "ear-bundle", tmp_path / place))
    check_logging(request_of(ears, tmp_path / "ear-bundle", tmp_path / "logs"))
    check_logging(replace(request_of(ears, tmp_path / "ear-bundle", tmp_path / place), config=BuildConfig()))


def test_the_training_is_given_the_logger_and_the_logger_the_bundle(
    ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def train_chain(ctx: Any, index: object, run: Any) -> object:
        curves = run.link("M1", {}, tmp_path)
        curves.start(0)
        curves.add(1, {"loss": 0.5})
        curves.end()
        return object()

    def compile_chain(ctx: Any, *rest: object) -> str:
        ctx.out.mkdir()
        (ctx.out / "manifest.json").write_text('{"labels": ["dark", "light"]}')
        return "contents"

    monkeypatch.setattr(module, "train_chain", train_chain)
    monkeypatch.setattr(module, "compile_chain", compile_chain)
    out = tmp_path / "ear-bundle"
    assert module.build(request_of(ears, out), SilentProgress()) == "contents"  # type: ignore[comparison-overlap]
    run = tmp_path / "ear-bundle.work/logs/ear-bundle"
    events = EventAccumulator(str(run))
    events.Reload()
    text = events.Tensors("bundle/text_summary")[0].tensor_proto.string_val[0].decode()
    assert str(out) in text
    assert '{"labels": ["dark", "light"]}' in text
    (link,) = (path for path in run.iterdir() if path.is_dir())
    curves = EventAccumulator(str(link))
    curves.Reload()
    assert [(point.step, point.value) for point in curves.Scalars("loss")] == [(1, 0.5)]
