"""An SWUpdate file: ``sw-description``, the tar, and a script that hands the tar to ``weckd-update``.

SWUpdate puts the tar beside the store; what is atomic, and what goes back, is ``weckd-update``'s part. It is signed by CMS,
as ``openssl cms`` does it; SWUpdate must be built with ``CONFIG_SIGALG_CMS``, as Debian's is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from weckd_edge.bundle.packaging import tar_format
from weckd_edge.bundle.packaging.base import PAYLOAD_NAME, Signer
from weckd_edge.bundle.packaging.cpio import write_cpio
from weckd_edge.bundle.packaging.tools import run_tool
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.store import sha256_file

DESCRIPTION = "sw-description"
SCRIPT_NAME = "weckd-install.sh"
INCOMING = f"/var/lib/weckd/incoming/{PAYLOAD_NAME}"
"""Path on the device where SWUpdate puts the tar."""

_SCRIPT = f"""#!/bin/sh
# SWUpdate runs this with "postinst" once the tar lies in its place; whatever the outcome, the tar goes.
[ "$1" = postinst ] || exit 0
. /etc/weckd/update.conf
/usr/bin/weckd-update install {INCOMING} $WECKD_UPDATE_OPTIONS
code=$?
rm -f {INCOMING}
exit $code
"""


def description_of(bundle: Bundle, tar_sha256: str, script_sha256: str) -> str:
    """Return ``sw-description`` in the syntax of libconfig."""
    manifest = bundle.manifest
    return f"""software =
{{
    version = "{manifest.version}";
    description = "{manifest.name}";
    hardware-compatibility: [ "{manifest.device}" ];
    files: (
        {{
            filename = "{PAYLOAD_NAME}";
            path = "{INCOMING}";
            sha256 = "{tar_sha256}";
            properties: {{ create-destination = "true"; atomic-install = "true"; }};
        }}
    );
    scripts: (
        {{
            filename = "{SCRIPT_NAME}";
            type = "shellscript";
            sha256 = "{script_sha256}";
        }}
    );
}};
"""


def write(bundle: Bundle, out: Path, signer: Signer | None) -> None:
    """Write the ``.swu``.

    Raises:
        ConfigError: ``openssl`` refuses key or certificate.
        MissingDependency: The update is to be signed and ``openssl`` is not installed.
    """
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch)
        tar_format.write(bundle, folder / PAYLOAD_NAME)
        (folder / SCRIPT_NAME).write_text(_SCRIPT, encoding="utf-8")
        text = description_of(bundle, sha256_file(folder / PAYLOAD_NAME), sha256_file(folder / SCRIPT_NAME))
        (folder / DESCRIPTION).write_text(text, encoding="utf-8")
        names = [DESCRIPTION]
        if signer is not None:
            _sign(folder, signer)
            names.append(f"{DESCRIPTION}.sig")
        write_cpio(out, [(name, folder / name) for name in (*names, PAYLOAD_NAME, SCRIPT_NAME)])


def _sign(folder: Path, signer: Signer) -> None:
    arguments: list[str | Path] = ["cms", "-sign", "-in", folder / DESCRIPTION, "-out", folder / f"{DESCRIPTION}.sig"]
    arguments += ["-signer", str(signer.certificate), "-inkey", signer.key]
    arguments += ["-outform", "DER", "-nosmimecap", "-binary"]
    run_tool("openssl", arguments, package="openssl", hint="check that key and certificate are a pair")
