"""The one object that the faces use: from a declaration to a generation, and what follows.

Composition only: each step is one of the floors below.
"""

from envtool.workspace.collecting import Collecting
from envtool.workspace.editing import Editing
from envtool.workspace.history import History

__all__ = ["Workspace"]


class Workspace(Editing, History, Collecting):
    """A root, and all that can be done in it."""
