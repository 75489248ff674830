"""Isolation: a command in namespaces of its own, which sees of the machine what it is given."""
