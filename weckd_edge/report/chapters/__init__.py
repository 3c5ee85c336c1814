"""The chapters of the report: sentences and rows, worked out from the evidence alone."""
