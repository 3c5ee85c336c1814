"""Packages for update systems (docs/updates.md): a plain tar, RAUC, SWUpdate, Mender."""
