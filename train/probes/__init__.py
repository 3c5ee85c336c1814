"""Probes of a labelled set: leaks, shortcuts and doubtful labels, from frozen features and linear classifiers, in seconds."""
