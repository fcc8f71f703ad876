"""The encoder that reads a face over time."""
