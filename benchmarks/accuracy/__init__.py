"""What is right on held-out faces."""
