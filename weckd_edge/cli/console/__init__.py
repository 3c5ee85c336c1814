"""What commands print with: tables, progress, and the line that a failure ends in."""
