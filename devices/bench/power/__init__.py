"""Where power and energy are read: one file a kind of source, all with the contract of ``base``."""
