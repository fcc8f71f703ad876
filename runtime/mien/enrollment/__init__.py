"""Expressions that a device learns from a few examples."""
