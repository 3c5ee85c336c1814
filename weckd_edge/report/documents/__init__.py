"""The model card and the bill of materials, and what they state."""
