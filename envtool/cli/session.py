"""What every command starts from: the settings, the workspace, and the project that is meant."""

import os
from typing import TYPE_CHECKING

from envtool.errors import EnvtoolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envtool.cli.options import Options
    from envtool.cli.terminal import Terminal
    from envtool.formats.generation import Record
    from envtool.machine.project import Project
    from envtool.machine.settings import Settings
    from envtool.workspace.entering import Entering
    from envtool.workspace.realising import Realising
    from envtool.workspace.switching import Switching
    from envtool.workspace.workspace import Workspace

__all__ = ["Session", "working_directory"]


class Session:
    """One command at work."""

    def __init__(self, options: "Options", terminal: "Terminal") -> None:
        self.options = options
        self.terminal = terminal
        terminal.meant = self._meaning

    def project(self, file: str | None = None) -> "Project":
        """Return the project that the options mean, or that of a file such as a script."""
        from envtool.workspace.entering import open_project

        options = self.options
        project = open_project(
            working_directory(), file=file or options.file, environment=options.environment
        )
        self.terminal.meant = lambda: self._meaning(project)
        return project

    def found_project(self) -> "Project":
        """Return the project to change or to enter, and say which when it lies further up."""
        project = self.project()
        if self.options.file is None and project.folder != working_directory():
            self.terminal.say(f"using {os.path.relpath(project.path)}")
        return project

    def check_environment(self, project: "Project") -> None:
        """Check that the declaration has the environment that is asked for.

        :raises DeclarationError: it has not; it names the near one.
        """
        from envtool.machine.project import read

        if project.environment != "default":
            read(project.path, project.kind, project.environment)

    def workspace(self) -> "Workspace":
        """Return the workspace, its work shown on the terminal."""
        from envtool.cli.progress import Progress
        from envtool.workspace.workspace import Workspace

        return Workspace(self._settings(), Progress(self.terminal))

    def switching(self) -> "Switching":
        """Return the part of the workspace that switches, its work shown on the terminal."""
        from envtool.cli.progress import Progress
        from envtool.workspace.switching import Switching

        return Switching(self._settings(), Progress(self.terminal))

    def realising(self) -> "Realising":
        """Return the part of the workspace that realises, its work shown on the terminal."""
        from envtool.cli.progress import Progress
        from envtool.workspace.realising import Realising

        return Realising(self._settings(), Progress(self.terminal))

    def made_up(self, requirements: "Sequence[str]", system: "Sequence[str]" = ()) -> "Project":
        """Return a project that asks for these requirements, and packages of Debian, alone."""
        from envtool.machine.adhoc import made_up
        from envtool.workspace.entering import open_project

        path = made_up(self.quiet_workspace().settings, requirements, system)
        return open_project(working_directory(), file=path)

    def current(self, project: "Project") -> tuple[int, "Record", "Entering"]:
        """Return the current generation's number and record, and a workspace that is silent.

        Without a generation yet it switches to one first; when the declaration has moved on it
        says so and stays with the generation.
        """
        workspace = self.quiet_workspace()
        found = self._found(workspace, project)
        if found is None:
            self.check_environment(project)
            if not workspace.is_made_up(project):
                self.terminal.say("no generation yet: switching to the first one")
            # A script may lie where its user cannot write, such as among the machine's programs.
            self.workspace().switch(project, save_lock=os.access(project.folder, os.W_OK))
            found = workspace.current(project)
            assert found is not None, "switching leaves a current generation"
        elif workspace.drifted(project, found[1]):
            name = os.path.basename(project.path)
            self.terminal.say(
                f"note: {name} has changed since generation {found[0]}: "
                f"`{self.program(project)} switch` goes forward to it"
            )
        return *found, workspace

    def _found(self, workspace: "Entering", project: "Project") -> "tuple[int, Record] | None":
        from envtool.errors import ProfileError

        try:
            return workspace.current(project)
        except ProfileError:
            if workspace.is_made_up(project):
                return None  # collected meanwhile
            raise

    def quiet_workspace(self) -> "Entering":
        """Return what a workspace knows without any work that somebody could see."""
        from envtool.workspace.entering import Entering

        return Entering(self._settings())

    def program(self, project: "Project") -> str:
        """Return how envtool is called for this project, such as `envtool -f plot.py -e ci`."""
        import shlex

        return shlex.join(["envtool", *self._meaning(project)])

    def _meaning(self, project: "Project | None" = None) -> list[str]:
        """Return the options that mean the project, by default what was said, in short."""
        file, environment = self.options.file, self.options.environment
        if project is not None:
            is_found = not file and project.kind in ("envtool.toml", "pyproject.toml")
            file = None if is_found else os.path.relpath(project.path)
            environment = project.environment
        words = ["-C", self.options.directory] if self.options.directory else []
        words += ["-f", file] if file else []
        return words + (["-e", environment] if environment != "default" else [])

    def _settings(self) -> "Settings":
        from envtool.machine.settings import load

        environ = {**os.environ, "ENVTOOL_OFFLINE": "1"} if self.options.offline else os.environ
        return load(environ)


def working_directory() -> str:
    """Return where the process works.

    :raises EnvtoolError: when the directory has been deleted meanwhile.
    """
    try:
        return os.getcwd()
    except OSError as error:
        raise EnvtoolError(
            f"the working directory cannot be used: {error.strerror}", hint="cd to another folder"
        ) from error
