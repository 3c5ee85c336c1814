"""Candidates for the deployed graph: made in each precision, scored against FP32, timed, and the best one chosen."""
