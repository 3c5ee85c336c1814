"""Logging of runs: curves that an interruption neither doubles nor cuts, and loggers that change and stop nothing."""

from __future__ import annotations

import csv
import io
import json
import logging
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from weckd_edge.config import BuildConfig, DataConfig, DistillConfig, LinkConfig, TrainConfig, load_config, paths_of
from weckd_edge.core import optional_imports
from weckd_edge.core.errors import MissingDependency
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.train.data.index import build_index
from weckd_edge.train.distill.chain import make_trainer, plan_chain, train_build
from weckd_edge.train.distill.loop import engine
from weckd_edge.train.run_logging import open_run as module
from weckd_edge.train.run_logging.base import NO_CURVES, NO_RUN_LOGGER, Curves, RunLogger, Values
from weckd_edge.train.run_logging.guarded import GuardedLogger
from weckd_edge.train.run_logging.open_run import LOGGERS, check_logger, open_run, settings_in_words
from weckd_edge.train.tuning.study import StudyGrid, run_study

TOOLS = sorted(LOGGERS)
EPOCHS, STEPS = 3, 2
CONFIG = BuildConfig(
    link=tuple(
        LinkConfig(model="resnet10t", input_size=32, options={"channels": (8 * n,) * 4, "stem_width": 8}) for n in (2, 1)
    ),
    data=DataConfig(labelled_fraction=0.25),
    train=TrainConfig(epochs=EPOCHS, steps_per_epoch=STEPS, batch=8, accelerator="cpu", threads=1),
    distill=DistillConfig(strategy="guided", last_link_step_fraction=0.5, baseline=False),
)

Points = dict[str, list[tuple[int, float]]]
"""The points of each curve of a link, as a tool reads them: step and value."""


def with_log(tool: str, folder: Path | None = None, config: BuildConfig = CONFIG) -> BuildConfig:
    log_dir = None if folder is None else str(folder)
    return replace(config, train=replace(config.train, log=tool, log_dir=log_dir))  # type: ignore[arg-type]  # a literal


# How each tool reads back what was logged


def tensorboard_points(folder: Path) -> dict[str, Points]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, Points] = {}
    for link in sorted({path.parent for path in folder.rglob("*tfevents*")}):
        events = EventAccumulator(str(link))
        events.Reload()
        points = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        if points:
            found[link.relative_to(folder).as_posix().partition("/")[2].rpartition("-")[0]] = points
    return found


def mlflow_rows(folder: Path, query: str) -> list[Any]:
    with sqlite3.connect(folder / "mlflow.db") as database:
        rows = database.execute(query).fetchall()
    database.close()
    return rows


def mlflow_points(folder: Path) -> dict[str, Points]:
    query = "select runs.name, key, step, value from metrics join runs using (run_uuid) order by step"
    found: dict[str, Points] = {}
    for name, key, step, value in mlflow_rows(folder, query):
        found.setdefault(name, {}).setdefault(key, []).append((step, value))
    return found


READ = {"tensorboard": tensorboard_points, "mlflow": mlflow_points}


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without a run: making one takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    with open_run("nothing", with_log("mlflow", folder), folder) as run:
        run.table("nothing", ("a",), ())
    with sqlite3.connect(folder / "mlflow.db") as database:
        for table in ("params", "metrics", "latest_metrics", "tags", "runs", "experiment_tags", "experiments"):
            database.execute(f"delete from {table} where 1 = 1")
    database.close()
    return folder / "mlflow.db"


@pytest.fixture
def logs(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "logs"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


def train(ears: Path, work: Path, config: BuildConfig, *, name: str = "toy") -> dict[str, str]:
    """Train the chain of a configuration; return the digests of its weights by link."""
    index = build_index(ears, config.data, labelled_subsets=2, seed=0, skip_bad=False, progress=SilentProgress())
    plans = plan_chain(index, config)
    workspace = Workspace(work)
    with open_run(name, config, work) as run:
        trainer = make_trainer(workspace, ears, index, plans, SilentProgress())
        trainer.logger = run
        chain = train_build(trainer, plans, config)
    return {link.artifact.name: link.artifact.weights.sha256 for link in chain.links}


class KilledError(Exception):
    pass


# What is logged


@pytest.mark.parametrize("tool", TOOLS)
def test_each_link_has_its_curves_and_the_weights_are_those_without_a_logger(
    tool: str, ears: Path, tmp_path: Path, logs: Path
) -> None:
    config = replace(
        CONFIG, train=replace(CONFIG.train, patience=9), distill=replace(CONFIG.distill, attention=0.1, distill_weight=0.6)
    )
    plain = train(ears, tmp_path / "plain", config)
    assert train(ears, tmp_path / "logged", with_log(tool, logs, config)) == plain
    found = READ[tool](logs)
    steps = list(range(1, EPOCHS * STEPS + 1))
    assert set(found) == {"M1", "M2"}
    parts = {"loss", "learning rate"}, {"loss", "hard", "soft", "attention", "learning rate"}
    for link, names in zip(("M1", "M2"), parts, strict=True):
        scores = {"validation accuracy", "validation cross-entropy", "final validation accuracy"}
        assert set(found[link]) == names | scores
        for name in names:
            assert [step for step, _ in found[link][name]] == steps
        assert [step for step, _ in found[link]["validation accuracy"]] == [2, 4, 6]
        rates = [value for _, value in found[link]["learning rate"]]
        assert max(rates) == pytest.approx(config.train.learning_rate, rel=0.2)
        assert rates[-1] < max(rates)
    for _, loss in found["M2"]["loss"]:
        assert loss > 0
    hard, soft = dict(found["M2"]["hard"]), dict(found["M2"]["soft"])
    attention = dict(found["M2"]["attention"])
    for step, loss in found["M2"]["loss"]:
        assert loss == pytest.approx(0.4 * hard[step] + 0.6 * soft[step] + attention[step], rel=1e-4)


@pytest.mark.parametrize("tool", TOOLS)
def test_an_interrupted_training_goes_on_with_its_curves_and_doubles_no_step(
    tool: str, ears: Path, tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    shutil.copy(logs / "mlflow.db", tmp_path / "whole/mlflow.db")
    whole = train(ears, tmp_path / "a", with_log(tool, tmp_path / "whole"))
    saved = engine._save

    def dies(path: Path, *rest: Any) -> None:
        if rest[-1] == 2:  # after the points of the second epoch were written, and before its checkpoint
            raise KilledError
        saved(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_save", dies)
        with pytest.raises(KilledError):
            train(ears, tmp_path / "b", with_log(tool, logs))
    assert [step for step, _ in READ[tool](logs)["M1"]["loss"]] == [1, 2, 3, 4]
    assert train(ears, tmp_path / "b", with_log(tool, logs)) == whole
    assert READ[tool](logs) == READ[tool](tmp_path / "whole")


@pytest.mark.parametrize("tool", TOOLS)
def test_a_link_that_is_trained_already_is_not_logged_again(tool: str, ears: Path, tmp_path: Path, logs: Path) -> None:
    train(ears, tmp_path / "work", with_log(tool, logs))
    before = READ[tool](logs)
    train(ears, tmp_path / "work", with_log(tool, logs))
    assert READ[tool](logs) == before
    if tool == "mlflow":
        assert len(mlflow_rows(logs, "select * from runs")) == 3


def test_the_settings_of_logging_are_part_of_no_key(ears: Path, tmp_path: Path, logs: Path) -> None:
    train(ears, tmp_path / "work", CONFIG)
    links = sorted(path.name for path in (tmp_path / "work").glob("link-*"))
    train(ears, tmp_path / "work", with_log("tensorboard", logs))
    assert sorted(path.name for path in (tmp_path / "work").glob("link-*")) == links
    assert with_log("mlflow", logs).train.identity() == CONFIG.train


def test_mlflow_holds_the_settings_and_the_links_as_children(ears: Path, tmp_path: Path, logs: Path) -> None:
    train(ears, tmp_path / "work", with_log("mlflow", logs), name="ear-bundle")
    params = dict(mlflow_rows(logs, "select key, value from params join runs using (run_uuid) where name = 'ear-bundle'"))
    assert params["train.epochs"] == str(EPOCHS)
    assert params["link.2.input_size"] == "32"
    assert params["train.log_dir"] == "logs"
    (parent,) = mlflow_rows(logs, "select run_uuid from runs where name = 'ear-bundle'")
    children = mlflow_rows(
        logs,
        "select name, value, status from runs join tags using (run_uuid) where key = 'mlflow.parentRunId' order by name",
    )
    assert children == [("M1", parent[0], "FINISHED"), ("M2", parent[0], "FINISHED")]


def test_tensorboard_holds_the_settings_of_the_run_and_of_each_link(ears: Path, tmp_path: Path, logs: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(ears, tmp_path / "work", with_log("tensorboard", logs), name="ear-bundle")
    texts = {}
    for folder in (logs / "ear-bundle", *(logs / "ear-bundle").iterdir()):
        if folder.is_dir():
            events = EventAccumulator(str(folder))
            events.Reload()
            texts[folder.name.partition("-")[0]] = events.Tensors("settings/text_summary")[0].tensor_proto.string_val[0]
    assert set(texts) == {"ear", "M1", "M2"}
    assert f"| train.epochs | {EPOCHS} |".encode() in texts["ear"]
    assert b"| teachers | M1 |" in texts["M2"]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_bundle_and_a_table_are_kept(tool: str, tmp_path: Path, logs: Path) -> None:
    bundle = tmp_path / "ear-bundle"
    (bundle / "evidence").mkdir(parents=True)
    (bundle / "manifest.json").write_text('{"labels": ["dark", "light"]}')
    (bundle / "evidence/report.html").write_text("<p>report")
    with open_run("ear-bundle", with_log(tool, logs), tmp_path / "work") as run:
        run.table("study", ("strategy", "accuracy"), [("weckd", 0.9), ("a|b", 0.8)])
        run.folder(bundle)
    if tool == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(logs / "ear-bundle"))
        events.Reload()
        texts = [events.Tensors(f"{tag}/text_summary")[0].tensor_proto.string_val[0].decode() for tag in ("study", "bundle")]
        assert texts[0].splitlines()[2:] == ["| weckd | 0.9 |", "| a\\|b | 0.8 |"]
        assert str(bundle) in texts[1]
        assert '{"labels": ["dark", "light"]}' in texts[1]
    else:
        (kept,) = (logs / "artifacts").glob("*/artifacts")
        assert (kept / "bundle/evidence/report.html").read_text() == "<p>report"
        assert (kept / "bundle/manifest.json").is_file()
        assert list(csv.reader(io.StringIO((kept / "study.csv").read_text())))[1:] == [["weckd", "0.9"], ["a|b", "0.8"]]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_study_logs_its_table_and_names_each_link_by_seed_and_strategy(
    tool: str, ears: Path, tmp_path: Path, logs: Path
) -> None:
    grid = StudyGrid(strategies=("single-subset", "weckd"), seeds=1)
    found = run_study(ears, with_log(tool, logs), grid, tmp_path / "study", SilentProgress())
    assert set(READ[tool](logs)) == {"seed 0/single-subset/M1", "seed 0/weckd/M1", "seed 0/weckd/M2"} or set(
        READ[tool](logs)
    ) == {"seed-0/single-subset/M1", "seed-0/weckd/M1", "seed-0/weckd/M2"}
    if tool == "mlflow":
        (kept,) = logs.glob("artifacts/*/artifacts/study.csv")
        rows = list(csv.DictReader(io.StringIO(kept.read_text())))
        assert [(row["strategy"], float(row["accuracy"])) for row in rows] == [
            (t.strategy, t.accuracy) for t in found.trials
        ]
    unlogged = run_study(ears, CONFIG, grid, tmp_path / "study", SilentProgress())
    assert unlogged == found


# A logger that fails


@dataclass
class Failing:
    """A logger that fails at one of its calls."""

    at: str
    calls: list[str] = field(default_factory=list)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.at:
            raise OSError(28, "No space left on device")

    def link(self, name: str, settings: Mapping[str, str], scratch: Path) -> Curves:
        self._call("link")
        return self

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self._call("table")

    def folder(self, path: Path) -> None:
        self._call("folder")

    def close(self, *, failed: bool) -> None:
        self._call("close")

    def start(self, step: int) -> None:
        self._call("start")

    def add(self, step: int, values: Values) -> None:
        self._call("add")

    def save(self) -> None:
        self._call("save")

    def end(self) -> None:
        self._call("end")


@pytest.mark.parametrize("at", ["link", "start", "add", "save", "end", "close"])
def test_a_logger_that_fails_changes_no_weight_and_is_given_up_with_one_warning(
    at: str, ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(CONFIG, train=replace(CONFIG.train, epochs=1))
    plain = train(ears, tmp_path / "plain", config)
    failing = Failing(at)

    @contextmanager
    def opened(*args: object, **kwargs: object) -> Iterator[RunLogger]:
        run = GuardedLogger("The log", lambda: failing)
        yield run
        run.close(failed=False)

    monkeypatch.setattr(sys.modules[__name__], "open_run", opened)
    with caplog.at_level(logging.WARNING):
        assert train(ears, tmp_path / "logged", config) == plain
    (warning,) = [record for record in caplog.records if "is logged" in record.getMessage()]
    assert "The log cannot be written ([Errno 28] No space left on device)" in warning.getMessage()
    assert failing.calls.count(at) == 1
    assert failing.calls[-1] == at


def test_a_logger_that_cannot_be_opened_is_given_up_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    def opened() -> RunLogger:
        raise ConnectionError("the server is away")

    run = GuardedLogger("The log", opened)
    run.link("M1", {}, Path()).add(1, {"loss": 1.0})
    run.table("study", (), ())
    assert [record.getMessage() for record in caplog.records] == [
        "The log cannot be written (the server is away); nothing more of this run is logged, and the run goes on"
    ]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_place_that_cannot_be_written_stops_no_training(
    tool: str, ears: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    config = with_log(tool, tmp_path / "file/logs", replace(CONFIG, train=replace(CONFIG.train, epochs=1)))
    assert set(train(ears, tmp_path / "work", config)) == {"M1", "M2"}
    assert len([record for record in caplog.records if "cannot be written" in record.getMessage()]) == 1


def test_a_server_that_is_away_stops_no_training(
    ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    config = with_log("mlflow", tmp_path / "logs", replace(CONFIG, train=replace(CONFIG.train, epochs=1)))
    assert set(train(ears, tmp_path / "work", config)) == {"M1", "M2"}
    assert len([record for record in caplog.records if "cannot be written" in record.getMessage()]) == 1
    assert not (tmp_path / "logs").exists()


# What is asked for, and by whom


def test_no_logger_is_the_default_and_of_several_processes_the_first_logs(tmp_path: Path) -> None:
    with open_run("x", CONFIG, tmp_path / "work") as run:
        assert run is NO_RUN_LOGGER
    with open_run("x", with_log("tensorboard"), tmp_path / "work", enabled=False) as run:
        assert run is NO_RUN_LOGGER
        assert run.link("M1", {}, tmp_path) is NO_CURVES
    assert not (tmp_path / "work").exists()


def test_logs_lie_in_the_workspace_unless_a_folder_is_named(tmp_path: Path) -> None:
    with open_run("x", with_log("tensorboard"), tmp_path / "work"):
        pass
    assert list((tmp_path / "work/logs/x").glob("*tfevents*"))


def test_a_run_that_fails_is_marked_as_such(tmp_path: Path, logs: Path) -> None:
    for number, error in enumerate((None, KilledError())):
        try:
            with open_run(f"run {number}", with_log("mlflow", logs), tmp_path / "work"):
                if error:
                    raise error
        except KilledError:
            pass
    assert mlflow_rows(logs, "select name, status from runs order by name") == [("run 0", "FINISHED"), ("run 1", "FAILED")]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_missing_library_names_its_extra_and_a_broken_one_says_so(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library, real = LOGGERS[tool].libraries[0], optional_imports.importlib.import_module

    def importing(error: ImportError) -> Any:
        def load(name: str) -> Any:
            if name == library:
                raise error
            return real(name)

        return load

    monkeypatch.setattr(optional_imports.importlib, "import_module", importing(ModuleNotFoundError("no", name=library)))
    with raises(MissingDependency, "E_MISSING_LIBRARY", says=f"pip install 'weckd-edge[{tool}]'"):
        check_logger(with_log(tool).train)
    monkeypatch.setattr(optional_imports.importlib, "import_module", importing(ModuleNotFoundError("no", name="zlib")))
    with raises(MissingDependency, "E_MISSING_BROKEN_LIBRARY", says="zlib"):
        check_logger(with_log(tool).train)
    check_logger(CONFIG.train)


def test_every_logger_of_the_table_can_be_opened_and_is_a_choice_of_the_setting(tmp_path: Path, logs: Path) -> None:
    for tool in LOGGERS:
        (tmp_path / "chain.toml").write_text(f'[train]\nlog = "{tool}"\nlog_dir = "curves"\n')
        train_config = load_config(tmp_path / "chain.toml").train
        assert (train_config.log, train_config.log_dir) == (tool, str(tmp_path / "curves"))
        module.check_logger(train_config)
        with open_run("x", with_log(tool, logs), tmp_path / "work") as run:
            run.table("t", ("a",), [(1,)])
    assert not any(name == "train.log_dir" for name, _ in paths_of(with_log("mlflow", logs)))


def test_settings_in_words_name_each_setting_and_no_folder(tmp_path: Path) -> None:
    words = settings_in_words(with_log("mlflow", tmp_path / "secret/logs"))
    assert words["train.log_dir"] == "logs"
    assert words["link.1.options.stem_width"] == "8"
    assert "secret" not in json.dumps(words)


def test_no_library_of_a_logger_is_loaded_without_one() -> None:
    code = (
        "import sys, weckd_edge.train.distill.trainer, weckd_edge.train.run_logging.open_run; "
        "print(sorted({'mlflow', 'tensorboard'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
