"""What changed between two bundles, as a change-control plan asks for it: facts, each from the evidence of the two.

``sides`` reads a bundle, of an older format too; ``things`` compares settings, models and thresholds by name; ``data``
images by their digests; ``results`` the predictions to the same test images; ``compare`` puts it together.
"""

from weckd_edge.report.diff.compare import compare_bundles

__all__ = ["compare_bundles"]
