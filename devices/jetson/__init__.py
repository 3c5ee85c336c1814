"""Jetsons: the board, the recipe of an engine, and the engine that the device builds."""
