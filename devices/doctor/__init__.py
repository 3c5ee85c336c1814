"""Diagnosis of a machine: what is installed, what works, and which settings make it faster and steadier."""
