"""Collecting garbage: what is a root, what it keeps alive, and how the rest goes."""
