"""Starting the kernel of a headless run apart: without network, or in an otherwise empty root.

    python -I -m envtool.kernel.headless.apart DESCRIPTION PROGRAM WORDS…

The description is JSON: `network` (bool) and, for an otherwise empty root, `views` (the
fields of each) and `folder`. Kernels of headless runs talk over sockets that are files, so
that they need no network to be talked to.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from envtool.errors import EnvtoolError
from envtool.machine.isolating.isolation import Isolated, become_isolated, leave_network
from envtool.machine.isolating.sandbox import View

if TYPE_CHECKING:
    from envtool.formats.generation import Record
    from envtool.machine.project import Project
    from envtool.workspace.workspace import Workspace

__all__ = ["PRIVATE", "apart", "main", "views_of"]

PRIVATE = "/tmp"  # noqa: S108 - private to the kernel
"""What is home in the empty root: programs that keep something there would complain in a cell."""


def apart(
    argv: Sequence[str],
    *,
    network: bool,
    views: Sequence[View] | None = None,
    folder: str = "",
) -> list[str]:
    """Return the words that start a kernel apart; in an otherwise empty root if there are views."""
    described: dict[str, object] = {"network": network}
    if views is not None:
        described |= {
            "views": [(view.path, view.inside, view.writable) for view in views],
            "folder": folder,
        }
    return [sys.executable, "-I", "-m", __name__, json.dumps(described), *argv]


def views_of(workspace: "Workspace", project: "Project", record: "Record") -> list[View]:
    """Return what a kernel sees: the closure, the project's folder, and the magics."""
    from envtool.cli.isolating import Isolation, closure_views
    from envtool.kernel.entering import magics_folder

    wanted = Isolation(isolated=True)
    found = [*closure_views(workspace, project, record, isolation=wanted, system=False)]
    magics = magics_folder(workspace)
    return found if magics is None else [*found, View(magics)]


def main() -> NoReturn:
    """Become the kernel that the words of the command line name."""
    described, *words = sys.argv[1:]
    wanted = json.loads(described)
    environ = dict(os.environ)
    try:
        if "views" in wanted:
            # Its parent has no number there, and ipykernel ends when it is not the one it was told:
            # but for 1, which never ends.
            environ["JPY_PARENT_PID"] = "1"
            environ["HOME"] = PRIVATE
            connection = View(os.path.dirname(words[-1]), writable=True)
            views = tuple(View(*each) for each in wanted["views"])
            isolated = Isolated((*views, connection), wanted["folder"], wanted["network"])
            become_isolated(isolated, words, environ)
        if not wanted["network"]:
            leave_network()
    except EnvtoolError as error:
        sys.exit(f"envtool: {error.message}")
    os.execve(words[0], words, environ)  # noqa: S606 - becoming the kernel is the point


if __name__ == "__main__":
    main()
