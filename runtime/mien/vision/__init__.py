"""Frame -> faces, and what each shows."""
