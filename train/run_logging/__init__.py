"""Logging of runs: curves of each link, a study's table and the bundle, for the tools that draw and keep them."""
