"""Declarations and locks of other tools, read for what they ask for."""
