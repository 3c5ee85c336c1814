"""The builds: from a data set, or from a network that a user has, to a sealed bundle."""
