"""The C library's loops over pixels, compiled for Python; where they are missing, NumPy computes the same bytes."""
