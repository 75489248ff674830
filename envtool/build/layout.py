"""Where things lie in the store object of an unpacked wheel."""

INDEX = "wheel.json"
"""What the composer needs to know, so that it reads nothing else."""
SITE = "site-packages"
