"""A device chooses which of a bundle's models it runs, and keeps the choice in the bundle's folder."""
