"""A student that learns from faces without labels, beside a teacher that learns from how much that helps."""
