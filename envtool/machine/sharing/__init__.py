"""Identical files stored once, as a new object comes in and over the whole store."""
