"""The model card and the SBOM."""
