"""Report, model card and SBOM of a bundle, written from its evidence alone."""

from __future__ import annotations

from weckd_edge.report.documents.write import write_documents
from weckd_edge.report.evidence import BundleContents, read_contents, write_evidence
from weckd_edge.report.page import Sample, write_report
from weckd_edge.report.pictures import Picture

__all__ = ["BundleContents", "Picture", "Sample", "read_contents", "write_documents", "write_evidence", "write_report"]
