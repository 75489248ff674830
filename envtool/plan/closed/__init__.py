"""Interpreters of our own: which there are, what a lock pins of them, what makes them."""
