"""Open an Optuna storage that machines share, and never show the password that its address may hold."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from weckd_edge.core.errors import ConfigError, StoreError, WeckdError, first_line
from weckd_edge.core.optional_imports import require

OUTSIDE_KEYS = "opens a database and says why it cannot; no result depends on it"

logger = logging.getLogger(__name__)

UNPRUNED = 5
"""Number of finished trials before any is stopped early.

A trial reports after each link, a few times in all, and accuracies are noisy: it stops where it is below the median of the
other trials after the same link. Successive halving would stop three of four trials after their first link, whose accuracy
says little of the last one's.
"""
HEARTBEAT_S = 20
GRACE_S = 60
"""Seconds without a heartbeat after which a machine counts as dead and its piece goes to another."""
CONNECT_S = 10
"""Seconds after which a PostgreSQL server that does not answer counts as out of reach, where the address says no other."""
OPENINGS = 5
"""Number of times that a storage is opened, where another machine makes its tables meanwhile."""

_MADE_MEANWHILE = ("already exists", "UNIQUE constraint failed", "duplicate key value", "database is locked")
"""What SQLite and PostgreSQL say where another machine makes the same tables, or their first rows, at the same moment."""

_SERVER = re.compile(
    r"(?P<scheme>[\w+]+)://(?:(?P<user>[^:/?#@]*)(?P<password>:[^/?#@]*)?@)?"
    r"(?P<place>(?:\[[^]/?#@]*\]|[^:/?#@]*)(?::\d*)?(?:/[^:?#@]*)?)(?P<options>\?[^#@]*)?"
)
"""Address of a server: what has a meaning in it stands in a password as ``%40`` and the like."""


def shown_address(address: str) -> str:
    """Return a storage's address as it may be shown: without its password, and without options, which may hold one."""
    scheme, separator, _ = address.partition("://")
    if scheme.partition("+")[0] == "sqlite" or not {":", "@"} & set(address):
        return address.partition("?")[0]
    found = _SERVER.fullmatch(address)
    if found is None:
        return f"{scheme}://***" if separator else "***"
    user = "" if found["user"] is None else f"{found['user']}{':***' if found['password'] else ''}@"
    return f"{found['scheme']}://{user}{found['place']}"


@contextlib.contextmanager
def open_study(storage: str, name: str, seed: int, *, heartbeat: bool = False) -> Iterator[Any]:
    """Open an Optuna study, or make it, and close its storage in the end.

    Args:
        storage: Address of the storage, such as ``sqlite:///study.db`` or ``postgresql://user@host/database``.
        name: Name of the study in the storage.
        seed: Seed of the sampler in the process that makes the study. One that joins or goes on with it draws anew, as the
            same draws would be the same trials.
        heartbeat: Whether trials of machines that died are given to others.

    Raises:
        ConfigError: The storage cannot be opened.
        MissingDependency: Optuna, or the driver of PostgreSQL, is not installed.
        StoreError: The storage cannot be read or written any more.
    """
    optuna: Any = require("optuna", "share work through a database")
    # A trial that fails ends the command, which says why; Optuna would print the whole stack before.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    address = _with_driver(storage)
    with contextlib.ExitStack() as closing:
        try:
            opened = _open_storage(address, heartbeat=heartbeat)
            closing.callback(_close, opened)
            study = _make_or_join(opened, name, seed)
        except Exception as err:  # SQLAlchemy and its drivers have their own kinds of error
            # The cause is left out: older versions of SQLAlchemy quote the address in it.
            raise ConfigError(
                f"--storage {shown_address(storage)}: expected a storage that Optuna can open ({_reason(err, storage)})",
                code="E_CONFIG_STORAGE",
            ) from None
        with storage_errors(storage):
            yield study


def _make_or_join(storage: Any, name: str, seed: int) -> Any:
    optuna: Any = require("optuna", "share work through a database")
    pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED)
    try:
        sampler = optuna.samplers.TPESampler(seed=seed)
        return optuna.create_study(study_name=name, storage=storage, direction="maximize", sampler=sampler, pruner=pruner)
    except optuna.exceptions.DuplicatedStudyError:
        sampler = optuna.samplers.TPESampler()
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)


def _close(storage: Any) -> None:
    """Close the connections of a storage, whether or not they still work."""
    with contextlib.suppress(Exception):
        storage.remove_session()
    with contextlib.suppress(Exception):
        storage.engine.dispose()


def _with_driver(storage: str) -> str:
    """Return an address with the driver that this package names for PostgreSQL, where it names none of its own.

    Raises:
        ConfigError: The address of a server is not of the form that is expected.
        MissingDependency: The driver is not installed.
    """
    scheme, separator, rest = storage.partition("://")
    if scheme.partition("+")[0] == "sqlite" or not separator:
        return storage
    found = _SERVER.fullmatch(storage)
    if found is None:
        raise ConfigError(
            f"--storage {shown_address(storage)}: expected scheme://user:password@host:port/database, with each of / ? # @ "
            "of a user or a password written as %2F, %3F, %23 and %40",
            code="E_CONFIG_STORAGE",
        )
    if scheme in ("postgresql", "postgres"):
        scheme = "postgresql+psycopg"
    if scheme != "postgresql+psycopg":
        return storage
    require("psycopg", "reach a PostgreSQL server")
    if "connect_timeout=" not in (found["options"] or ""):
        rest += f"{'&' if found['options'] else '?'}connect_timeout={CONNECT_S}"
    return f"{scheme}://{rest}"


def _open_storage(address: str, *, heartbeat: bool) -> Any:
    """Open a storage; another machine may make its tables at the same moment."""
    optuna: Any = require("optuna", "share work through a database")
    beats = {"heartbeat_interval": HEARTBEAT_S, "grace_period": GRACE_S} if heartbeat else {}
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    for left in reversed(range(OPENINGS)):
        try:
            # A connection that was closed while a link was trained is opened again.
            storage = optuna.storages.RDBStorage(address, engine_kwargs={"pool_pre_ping": True}, **beats)
            break
        except Exception as err:
            if not left or not any(words in str(err) for words in _MADE_MEANWHILE):
                raise
            time.sleep(0.5)
    storage.record_heartbeat = functools.partial(_beat, storage.record_heartbeat)
    return storage


def _beat(record: Callable[[int], None], trial: int) -> None:
    """Record that this machine is at work; a storage that is out of reach for a while ends no training."""
    try:
        record(trial)
    except Exception as err:  # of SQLAlchemy, or of its driver
        logger.info("the storage did not take a heartbeat (%s)", type(err).__name__)


@contextlib.contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Raise one error where a storage cannot be read or written any more, such as a file on a full disk.

    Raises:
        StoreError: Optuna or SQLAlchemy failed; the message is one line.
    """
    try:
        yield
    except WeckdError:
        raise
    except Exception as err:
        cause = _of_storage(err)
        if cause is None:
            raise
        reason = _reason(cause.__cause__ or cause, storage)
        raise StoreError(
            f"{shown_address(storage)}: the storage cannot be read or written ({reason}); "
            "see whether it is in reach and has room, and run the same command again",
            code="E_STORE_STORAGE",
        ) from None


def _of_storage(err: BaseException | None) -> BaseException | None:
    """Return the first of an error and what it arose from that is of Optuna, SQLAlchemy or a driver; None without one."""
    while err is not None:
        if type(err).__module__.partition(".")[0] in ("optuna", "sqlalchemy", "sqlite3", "psycopg"):
            return err
        err = err.__cause__ or err.__context__
    return None


def _reason(err: BaseException, storage: str) -> str:
    """Return the first line of an error, without what the address keeps secret."""
    reason = first_line(err).replace(storage, shown_address(storage))
    found = _SERVER.fullmatch(storage)
    if found is None:
        return reason
    secrets = {(found["password"] or ":")[1:], *re.findall(r"(?:pass|secret)\w*=([^&]*)", found["options"] or "")}
    for secret in sorted({text for one in secrets for text in (one, unquote(one)) if text}, key=len, reverse=True):
        reason = reason.replace(secret, "***")
    return reason
