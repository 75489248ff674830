"""Changing what a user wrote, and leaving everything else in the file as it was."""
