"""Bundles in the formats of update systems: a plain tar, RAUC, SWUpdate, Mender. See docs/how-to/updates.md."""
