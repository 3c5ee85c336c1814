"""Data audit: leaks, shortcuts and doubtful labels of a data set, found with frozen features and linear classifiers."""
