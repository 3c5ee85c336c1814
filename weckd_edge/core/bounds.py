"""Limits that a build checks before it trains, and that every reader of a bundle enforces.

Every reader of a bundle holds this much; ``devices/firmware`` has the same numbers, and a test compares them.
"""

from __future__ import annotations

import re
import unicodedata

MAX_LABEL_BYTES = 127
"""Largest length of a class name, bytes of UTF-8."""

MAX_CLASSES = 1024
MAX_TOP_K = 32
"""Largest number of best frames that the decision about an examination may rest on."""

MAX_FRAMES = 65_535
"""Largest number of frames that count in one examination."""

MIN_SIDE, MAX_SIDE = 3, 8192
"""Smallest and largest side of a frame, pixels; the input guard needs a pixel's neighbours."""

MAX_NAME = 100
"""Largest length of the name of a bundle or a device, characters; update systems take no more."""

MAX_VERSION = 2**63 - 1
"""Largest version of a bundle's content."""

MAX_THREADS = 1024
"""Largest number of processor threads for one model."""

MAX_SEED = 2**31 - 1
"""Largest seed; libraries take seeds up to twice this one, and a study counts on from its seed."""

PLAIN_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
"""Form of a name in an update's metadata: the name of a bundle, or of the device it is for."""


def plain_name(text: str) -> str:
    """Return a text in the letters of ``PLAIN_NAME``: without accents, and with a dash for anything else.

    The result is empty where nothing is left, and may be too long.
    """
    if PLAIN_NAME.fullmatch(text):
        return text
    letters = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", letters).lstrip("._-").rstrip("-")
