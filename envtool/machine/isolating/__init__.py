"""Namespaces of our own: a command starts in another view of the machine, in this very process."""
