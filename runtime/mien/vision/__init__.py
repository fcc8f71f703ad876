"""Find faces in frames, and recognize their expressions."""
