"""Leaks, shortcuts and doubtful labels of a labelled set, from frozen features and linear classifiers, in seconds."""
