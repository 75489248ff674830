"""Debian as a source of packages: whom to trust, and what a Release file vouches for."""
