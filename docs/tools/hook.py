"""What mkdocs calls: it adds the pages that are generated from the code. They are written nowhere but into the site."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]  # what is documented is this checkout, not what is installed

from c_api_page import c_api_page  # noqa: E402
from profiles_page import profiles_page  # noqa: E402
from records_page import records_page  # noqa: E402
from run_notebook import notebook_page  # noqa: E402
from settings_page import settings_page  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

GENERATED = {
    "reference/settings.md": settings_page,
    "reference/profiles.md": profiles_page,
    "reference/records.md": records_page,
    "reference/c-api.md": c_api_page,
    "notebooks/quick-start.md": notebook_page,
}
"""Pages of the site by address, with what writes their Markdown."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    for address, write in GENERATED.items():
        files.append(File.generated(config, address, content=write()))
    return files
