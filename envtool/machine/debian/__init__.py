"""Debian's archive on this machine: mirrors, fetched and verified indices, kept below `cache/`."""
