"""A lock in the forms of other tools."""
