"""Backends that run a model: one module a library, and a table that imports none of them before it is used."""
