"""Expressions that are learned on the device."""
