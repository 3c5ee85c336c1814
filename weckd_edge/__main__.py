"""``python -m weckd_edge``."""

from weckd_edge.cli.main import main

if __name__ == "__main__":
    main()
