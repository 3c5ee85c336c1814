"""The smallest chain that trains: two residual networks of a few hundred weights, as settings and as TOML."""

from __future__ import annotations

from weckd_edge.config import LinkConfig

TOY_LINKS = (
    LinkConfig(model="resnet10t", input_size=32, options={"channels": (16, 16, 16, 16), "stem_width": 8}),
    LinkConfig(model="resnet10t", input_size=32, options={"channels": (8, 8, 8, 8), "stem_width": 8}),
)

TOY_LINKS_TOML = """
[[link]]
model = "resnet10t"
input_size = 32
options = { channels = [16, 16, 16, 16], stem_width = 8 }

[[link]]
model = "resnet10t"
input_size = 32
options = { channels = [8, 8, 8, 8], stem_width = 8 }
"""
"""The same links as the tables of a settings file."""
