"""Closures of Debian packages: which packages are needed for those that are asked for."""
