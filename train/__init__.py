"""Data, the chain of students and the loop that trains them. Meets the compile stage only in ``weckd_edge.artifacts``."""
