"""A student that learns from unlabeled faces, and a teacher that learns from how much its pseudo-labels help."""
