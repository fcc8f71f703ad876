"""Losses, with one equation in each file."""
