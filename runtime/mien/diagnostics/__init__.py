"""What the machine offers, and whether a bundle gives correct outputs on it."""
