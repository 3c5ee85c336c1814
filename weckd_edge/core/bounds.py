"""What is refused before anything is trained, as nothing could be done with what would be made.

Every reader of a bundle holds this much; ``devices/firmware`` has the same numbers, and a test compares them.
"""

from __future__ import annotations

import re
import unicodedata

MAX_LABEL_BYTES = 127
"""Of a class's name, in UTF-8."""

MAX_CLASSES = 1024
MIN_SIDE, MAX_SIDE = 3, 8192
"""Of a frame, pixels: the guard looks at a pixel's neighbours."""

MAX_NAME = 100
"""Letters in the name of a bundle or a device, as update systems take them."""

MAX_VERSION = 2**63 - 1
"""Of a bundle."""

MAX_THREADS = 1024
"""Of a processor, for one model."""

MAX_SEED = 2**31 - 1
"""Every library that draws takes seeds up to twice this one; a study counts on from it."""

PLAIN_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
"""What can stand in an update's metadata: the name of a bundle, and that of the device it is for."""


def plain_name(text: str) -> str:
    """Return a text in the letters of ``PLAIN_NAME``: accents are left out, and a dash stands for anything else.

    The result is empty where nothing is left, and may be too long.
    """
    if PLAIN_NAME.fullmatch(text):
        return text
    letters = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", letters).lstrip("._-").rstrip("-")
