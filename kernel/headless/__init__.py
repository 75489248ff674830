"""Notebooks run from top to bottom without a front end, and run again to verify them."""
