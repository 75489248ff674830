"""Whether a declaration's variables and hook are let into a shell, and saying so when not."""

import os
from typing import TYPE_CHECKING

from envtool.machine.consent import Consent

if TYPE_CHECKING:
    from envtool.cli.session import Session
    from envtool.formats.generation import Record
    from envtool.machine.project import Project
    from envtool.workspace.entering import Entering

__all__ = ["lets_in"]


def lets_in(
    session: "Session", workspace: "Entering", project: "Project", record: "Record"
) -> bool:
    """Return whether the generation's variables and hook may be applied; a line says if not.

    Where there are neither, there is nothing to be asked about.
    """
    if not record.variables and record.hook is None:
        return True
    verdict = Consent(workspace.settings, project.path).verdict(record.declaration_sha256)
    if verdict == "unknown":
        name, program = os.path.basename(project.path), session.program(project)
        session.terminal.say(
            f"note: {name} is not allowed to set variables or run its hook: "
            f"`{program} allow` lets it"
        )
    return verdict == "allowed"
