"""`envtool __hook SHELL`: what a prompt asks when something has changed where it stands.

The answer is text that the shell evaluates: the change of variables that leaves what was entered
and enters what is here, if that is allowed, and a test by which the shell itself sees that the
answer holds still. That test compares times of files with those of stamps, empty files named by
their time, since no shell can ask for a file's time itself.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from envtool.cli.options import Options, UsageError
from envtool.cli.prompt.entering import hooked
from envtool.cli.prompt.texts import Shell
from envtool.cli.session import Session
from envtool.errors import DeclarationError, EnvtoolError
from envtool.formats import visit
from envtool.formats.activation import quoted
from envtool.machine.consent import Consent

if TYPE_CHECKING:
    from envtool.cli.terminal import Terminal
    from envtool.machine.project import Project
    from envtool.workspace.entering import Entering

__all__ = ["answer"]

DECLARATIONS = ("envtool.toml", "pyproject.toml")
STAMPS = "prompt"
"""The folder of stamps below the cache."""


def answer(words: Sequence[str], terminal: "Terminal") -> int:
    """Print what the prompt of a shell of this kind is to evaluate, and say what is to be known."""
    if len(words) != 1 or words[0] not in ("bash", "zsh", "fish"):
        raise UsageError("__hook needs the name of a shell", hint="envtool hook --help")
    shell = cast("Shell", words[0])
    visited = visit.parse(os.environ)
    outside = visited.leave(os.environ) if visited else _without_rest(os.environ)
    look = _Look(Session(Options(), terminal), outside)
    try:
        inside = look.inside(visited)
    except EnvtoolError as error:
        terminal.say(f"envtool: {error.message}")
        inside = outside
    text = _change(shell, os.environ, inside) + look.test(shell)
    terminal.result_bytes(os.fsencode(text))
    return 0


def _without_rest(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environ.items() if name != visit.VARIABLE}


def _change(shell: Shell, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    made = visit.transition(before, after)
    new = [name for name, _ in made.assigned if name not in before]
    keep = "".join(f"__envtool_keep {name}\n" for name in new)
    give = "".join(f"__envtool_give {name}\n" for name in made.removed)
    return keep + made.render(shell) + give


class _Look:
    """A look at the working directory: what is to be entered, and what that depends on."""

    def __init__(self, session: Session, outside: Mapping[str, str]) -> None:
        self._session = session
        self._outside = outside
        self._workspace = session.quiet_workspace()
        self._files: dict[str, int | None] = {}
        """Times in nanoseconds, as they were before anything was read; None: not there."""
        self._links: dict[str, str] = {}
        """Links and the objects that they lead to."""

    def inside(self, visited: visit.Visit | None) -> Mapping[str, str]:
        """Return the variables that hold here, as `outside` when nothing is entered."""
        project = self._project()
        if project is None:
            return self._outside
        workspace, consent = self._workspace, Consent(self._workspace.settings, project.path)
        profile = workspace.profile(project)
        self._watch(consent.folder)
        current = profile.current()
        if current is None:
            self._watch(profile.link)
            self._say_nothing_yet(project, workspace, consent)
            return self._outside
        self._links[profile.link] = workspace.physical(current.path)
        record = workspace.record(current.path)
        name = os.path.basename(project.path)
        program = self._session.program(project)
        verdict = consent.verdict(record.declaration_sha256)
        if verdict != "allowed":
            if verdict == "unknown":
                self._say(f"{name} of {record.name} is not allowed: `{program} allow` lets it in")
            return self._outside
        entered = f"{project.path} {current.number} {current.path}"
        is_there = visited is not None and visited.entered == entered
        if workspace.drifted(project, record):
            self._say(
                f"{name} has changed since generation {current.number}: "
                f"`{program} switch` goes forward to it"
            )
        if is_there:
            return os.environ
        made = workspace.activation(record, current.number, project)
        inside = made.apply(self._outside)
        if record.hook is not None:
            inside = hooked(record.hook, inside)
        return visit.enter(entered, self._outside, inside, [name for name, _ in made.prepended])

    def _project(self) -> "Project | None":
        for path in _declarations(os.getcwd()):
            self._watch(path)
        try:
            return self._session.project()
        except DeclarationError as error:
            if error.hint is None:
                raise
            return None

    def _say_nothing_yet(self, project: "Project", workspace: "Entering", consent: Consent) -> None:
        verdict = consent.verdict(workspace.declaration_digest(project))
        program, name = self._session.program(project), os.path.basename(project.path)
        if verdict == "unknown":
            self._say(f"{name} is new here: `{program} allow` and `{program} switch` let it in")
        elif verdict == "allowed":
            self._say(f"no generation yet; `{program} switch` makes the first one")

    def _say(self, text: str) -> None:
        self._session.terminal.say(f"envtool: {text}")

    def _watch(self, path: str) -> None:
        try:
            self._files[path] = os.stat(path).st_mtime_ns
        except OSError:
            self._files[path] = None

    def test(self, shell: Shell) -> str:
        """Return the definition of `__envtool_same`: whether all is as it was found."""
        tests = []
        for path, time in self._files.items():
            file = quoted(path, shell)
            if time is None:
                tests.append(f"! -e {file}")
            else:
                stamp = quoted(self._stamp(time), shell)
                tests += [f"-e {file}", f"-e {stamp}"]
                tests += [f"! {file} -nt {stamp}", f"! {file} -ot {stamp}"]
        tests += [f"{quoted(a, shell)} -ef {quoted(b, shell)}" for a, b in self._links.items()]
        if shell == "fish":
            body = "\n    and ".join(f"test {each}" for each in tests) or "__envtool_nowhere"
            return f"function __envtool_same\n    {body}\nend\n"
        body = " &&\n    ".join(f"[[ {each} ]]" for each in tests) or "__envtool_nowhere"
        return f"__envtool_same() {{\n    {body}\n}}\n"

    def _stamp(self, time: int) -> str:
        """Return an empty file of this time; where none can be made, asking each time is right."""
        folder = f"{self._workspace.settings.cache}/{STAMPS}"
        stamp = f"{folder}/{time}"
        with suppress(OSError):
            if not os.path.exists(stamp):
                os.makedirs(folder, exist_ok=True)
                temporary = f"{folder}/.tmp-{os.getpid()}"
                os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
                os.utime(temporary, ns=(time, time))
                os.rename(temporary, stamp)
        return stamp


def _declarations(folder: str) -> list[str]:
    """Return the declarations in a folder and above, as the shell finds them."""
    found = []
    while True:
        paths = [os.path.join(folder, name) for name in DECLARATIONS]
        found += [path for path in paths if os.path.lexists(path)]
        if folder == os.path.dirname(folder):
            return found
        folder = os.path.dirname(folder)
