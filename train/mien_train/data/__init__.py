"""Faces and labels, ready to train on."""
