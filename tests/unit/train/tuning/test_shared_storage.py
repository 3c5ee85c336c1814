"""The storage that machines share: what is shown of its address, and one line for each thing that is wrong with it."""

from __future__ import annotations

import sys

import pytest

from support.errors import raises
from weckd_edge.core.errors import ConfigError, MissingDependency, StoreError
from weckd_edge.train.tuning import shared_storage
from weckd_edge.train.tuning.shared_storage import open_study, shown_address, storage_errors
from weckd_edge.train.tuning.tune import Search

pytest.importorskip("optuna")

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:///a/study.db", "sqlite:///a/study.db"),
        ("sqlite:////data/me@work/study.db?timeout=20", "sqlite:////data/me@work/study.db"),
        ("study.db", "study.db"),
        (f"postgresql://me:{SECRET}@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db", "postgresql://host/db"),
        (f"postgresql+psycopg://:{SECRET}@/db?host=/run/postgresql", "postgresql+psycopg://:***@/db"),
        (f"postgresql://me@host/db?password={SECRET}", "postgresql://me@host/db"),
        (f"mysql+pymysql://me:{SECRET}:x@host/db", "mysql+pymysql://me:***@host/db"),
        (f"postgresql://me:{SECRET}@x@host/db", "postgresql://***"),
        (f"postgresql://me:x/{SECRET}@host/db", "postgresql://***"),
        (f"postgresql://me:x?{SECRET}@host/db", "postgresql://***"),
        (f"postgresql://me:x#{SECRET}@host/db", "postgresql://***"),
        (f"postgresql://me:{SECRET}/db", "postgresql://***"),
        (f"postgresql://host/db?a=b@{SECRET}", "postgresql://***"),
        ("postgresql://me@[::1]:5432/db", "postgresql://me@[::1]:5432/db"),
        (f"postgresql:/me:{SECRET}@host/db", "***"),
        (f"me:{SECRET}@host", "***"),
    ],
)
def test_no_password_is_shown(address: str, shown: str) -> None:
    assert shown_address(address) == shown
    assert SECRET not in shown_address(address)


def test_a_password_that_would_be_misread_is_refused() -> None:
    address = f"postgresql://me:{SECRET}@x@host/db"
    with raises(ConfigError, "E_CONFIG_STORAGE", says=("postgresql://***", "%40")) as caught, open_study(address, "a", 0):
        pass
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("secret", [f"me:{SECRET}@host", "me:s%33cret@host"])
def test_a_library_that_quotes_the_address_gives_nothing_away(secret: str) -> None:
    address = f"mysql://{secret}/db?sslpassword={SECRET}2"
    with raises(StoreError, "E_STORE_STORAGE", says="mysql://me:***@host/db") as caught, storage_errors(address):
        raise shared_storage_error(f"cannot read {address}, with {SECRET} and {SECRET}2")
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def shared_storage_error(text: str) -> Exception:
    import optuna

    found: Exception = optuna.exceptions.StorageInternalError(text)
    return found


def test_an_error_behind_a_storages_is_reported_as_the_storages() -> None:
    """Optuna itself fails where it wants to note that a trial has failed, and the storage is gone."""
    with raises(StoreError, "E_STORE_STORAGE", says="the server has gone"), storage_errors("x.db"):
        try:
            raise shared_storage_error("the server has gone")
        except Exception as err:
            raise UnboundLocalError("updated_state") from err


def test_an_error_of_this_package_stays_as_it_is() -> None:
    with raises(ConfigError, "E_CONFIG_CHOICE"), storage_errors("x.db"):
        raise ConfigError("no", code="E_CONFIG_CHOICE") from shared_storage_error("gone")


def test_a_search_keeps_its_address_to_itself() -> None:
    assert SECRET not in repr(Search(trials=1, storage=f"postgresql://me:{SECRET}@host/db"))


def test_a_missing_driver_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        address = f"{scheme}://me:{SECRET}@host/db"
        with raises(MissingDependency, "E_MISSING_LIBRARY", says="weckd-edge[postgres]"), open_study(address, "a", 0):
            pass


def test_a_driver_of_another_name_is_left_to_the_user() -> None:
    address, shown = f"mysql+nodriver://me:{SECRET}@host/db", "mysql+nodriver://me:***@host/db"
    with raises(ConfigError, "E_CONFIG_STORAGE", says=shown) as caught, open_study(address, "a", 0):
        pass
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "says",
    [
        'relation "studies" already exists',
        "(sqlite3.IntegrityError) UNIQUE constraint failed: alembic_version.version_num",
        'duplicate key value violates unique constraint "pg_type_typname_nsp_index"',
    ],
)
def test_tables_that_another_machine_makes_meanwhile_are_used(monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    import optuna

    opened: list[str] = []

    class Busy(optuna.storages.RDBStorage):  # type: ignore[misc]  # Optuna is not typed here
        def __init__(self, address: str, **kw: object) -> None:
            opened.append(address)
            if len(opened) < 3:
                raise shared_storage_error(says)
            super().__init__(address, **kw)

    monkeypatch.setattr(optuna.storages, "RDBStorage", Busy)
    monkeypatch.setattr(shared_storage.time, "sleep", lambda seconds: None)
    with open_study("sqlite://", "a", 0, heartbeat=True) as study:
        assert study.trials == []
    assert len(opened) == 3
    opened.clear()
    monkeypatch.setattr(shared_storage, "OPENINGS", 2)
    with raises(ConfigError, "E_CONFIG_STORAGE", says=says), open_study("sqlite://", "a", 0):
        pass
