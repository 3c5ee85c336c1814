"""The public API: ``weckd_edge`` itself takes its functions and classes from here, each when it is first used."""
