"""A real PostgreSQL server of its own: one cluster in a temporary folder, on a free port of loopback, for a password."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from support.programs.sshd import free_port

USER, PASSWORD = "weckd", "s3cret-w0rd"
DEBIAN = Path("/usr/lib/postgresql")


def missing() -> str | None:
    """Return why no server can be started here; None where one can."""
    if _program("initdb") is None or _program("postgres") is None:
        return "postgresql is not installed (apt-get install postgresql)"
    return None


def _program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL's; Debian keeps them out of the PATH, by version."""
    versions = sorted(DEBIAN.glob("*/bin"), key=lambda path: int(path.parent.name.partition(".")[0]), reverse=True)
    return next((found for place in (None, *map(str, versions)) if (found := shutil.which(name, path=place))), None)


class Postgres:
    """One server, which asks for a password; it runs as ``nobody`` where the tests run as root, which it refuses."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pg")  # a socket's path holds 107 characters
        self.folder = Path(self._folder.name)
        self.data, self.port = self.folder / "data", free_port()
        self._as = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None
        (self.folder / "password").write_text(PASSWORD)
        if self._as is not None:
            for path in (self.folder, self.folder / "password"):
                os.chown(path, self._as, -1)
        self._run(
            *("initdb", "--pgdata", self.data, "--username", USER, "--pwfile", self.folder / "password"),
            *("--auth", "scram-sha-256", "--no-sync", "--encoding", "UTF8", "--locale", "C"),
        )

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off"
        self._run(*("pg_ctl", "start", "--wait", "-D", self.data, "-l", self.folder / "log", "-o", options))

    def stop(self) -> None:
        """Stop it at once, as a machine without power does; open connections end."""
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "--wait", "--mode", "immediate", "-D", self.data)

    def database(self, name: str) -> str:
        """Make a database; return its address, with the password."""
        self.query(f"CREATE DATABASE {name}", "postgres")
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def query(self, sql: str, name: str) -> str:
        """Return what a query answers, in lines of columns with ``|`` between them."""
        given = ("psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", name, "-c", sql)
        return self._run(*given).strip()

    def _run(self, *args: str | Path) -> str:
        program = _program(str(args[0]))
        assert program is not None, args[0]
        out, err = self.folder / "stdout", self.folder / "stderr"
        with out.open("w") as stdout, err.open("w") as stderr:  # the server keeps them, so that a pipe would never end
            done = subprocess.run(
                [program, *map(str, args[1:])],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                timeout=60,
                user=self._as,
                group=None if self._as is None else pwd.getpwuid(self._as).pw_gid,
                extra_groups=None if self._as is None else [],
                cwd=self.folder,
                env={**os.environ, "PGPASSWORD": PASSWORD},
            )
        assert done.returncode == 0, err.read_text()
        return out.read_text()
