"""Jetsons: the board, the recipe of an engine, and the engine built on the device."""
