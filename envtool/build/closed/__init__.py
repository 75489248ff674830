"""Interpreters of our own: Debian's, made to run from the store without any library of the host."""
