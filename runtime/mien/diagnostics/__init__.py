"""What the machine has, and whether a bundle is right on it."""
