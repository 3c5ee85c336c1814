"""Hosts as a user types them: ``user@host``, ``user@host:port``, ``user@[address]:port``, separated by commas."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from weckd_edge.core.errors import ConfigError

SSH_PORT = 22
_HOST = re.compile(
    r"(?:(?P<user>[^@\s:/]+)@)?(?:\[(?P<address>[0-9A-Fa-f:.%\w]+)\]|(?P<name>[A-Za-z0-9_.-]+))(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """A host to log in on.

    Attributes:
        name: A host name, an address, or a ``Host`` of ``~/.ssh/config``.
        user: User to log in as; None takes the one that ssh would.
        port: Port of the ssh server; None takes the one that ssh would.
    """

    name: str
    user: str | None = None
    port: int | None = None

    @property
    def text(self) -> str:
        """Host as a user types it."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{f'{self.user}@' if self.user else ''}{name}{f':{self.port}' if self.port else ''}"

    @property
    def folder(self) -> str:
        """Host as the name of a folder."""
        return re.sub(r"[^A-Za-z0-9_.@-]", "_", self.text.replace("[", "").replace("]", ""))


def parse_hosts(texts: Sequence[str]) -> tuple[Host, ...]:
    """Read hosts as a user types them.

    Args:
        texts: Texts of one host each, or of several, separated by commas.

    Raises:
        ConfigError: A text is no host, or a device is named twice (two benches at once would disturb each other).
    """
    found: list[Host] = []
    for text in (part.strip() for whole in texts for part in whole.split(",")):
        match = _HOST.fullmatch(text)
        port = int(match["port"]) if match is not None and match["port"] else None
        name = "" if match is None else match["address"] or match["name"]
        if match is None or name.startswith("-") or set(name) <= {"."} or (port is not None and not 0 < port < 65536):
            raise ConfigError(
                f"--ssh '{text}': expected user@host or user@host:port, several separated by commas", code="E_CONFIG_VALUE"
            )
        host = Host(name=name, user=match["user"], port=port)
        for other in found:
            same = (host.name.lower(), host.port or SSH_PORT) == (other.name.lower(), other.port or SSH_PORT)
            if same or host.folder == other.folder:
                raise ConfigError(
                    f"--ssh names {host.name} twice ({other.text} and {host.text}): name each device once",
                    code="E_CONFIG_VALUE",
                )
        found.append(host)
    return tuple(found)
