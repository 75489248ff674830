"""A home, a root and a project of their own, and the command line as a process."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import pexpect
import pytest

from envtool.build.generation import add_generation
from envtool.formats.declarations.declaration import lock_digest
from envtool.formats.declarations.reading import parse
from envtool.formats.generation import Package, Record
from envtool.machine.consent import Consent
from envtool.machine.project import Project
from envtool.machine.settings import load
from envtool.machine.store import Store
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

START = [sys.executable, "-c", "import sys; from envtool.cli import main; sys.exit(main())"]
"""The program, whatever is on PATH."""

DECLARATION = """\
name = "demo"
# a comment
dependencies = []

[vars]
GREETING = "hei"
"""


class Run(Protocol):
    """Run the command line in the project, and return its end.

    `before` is called in its process; `within` are the words of a program that starts it.
    """

    def __call__(
        self,
        *words: str,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
        within: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]: ...


@dataclass
class Place:
    """Where one test plays."""

    home: Path
    root: Path
    project: Path
    environ: dict[str, str]

    def settings_of(self) -> Workspace:
        return Workspace(load({**self.environ}))

    def project_of(self, environment: str = "default") -> Project:
        return open_project(str(self.project), environment=environment)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Make a home, a root and a project with a declaration named demo."""
    home, root, project = tmp_path / "home", tmp_path / "root", tmp_path / "project"
    home.mkdir()
    project.mkdir()
    (project / "envtool.toml").write_text(DECLARATION)
    environ = {
        "HOME": str(home),
        "ENVTOOL_ROOT": str(root),
        "ENVTOOL_FSYNC": "0",
        "ENVTOOL_SANDBOX": os.environ["ENVTOOL_SANDBOX"],
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
    }
    return Place(home, root, project, environ)


@pytest.fixture
def envtool(place: Place) -> Run:
    """Run the command line as a process of its own."""

    def run(
        *words: str,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
        within: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*within, *START, *words],
            cwd=cwd or place.project,
            env={**place.environ, **(environ or {})},
            preexec_fn=before,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def denied(envtool: Run) -> Run:
    """Run the command line where namespaces are denied: in one, which says so."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    return partial(envtool, within=["unshare", "-Ur", "sh", "-c", script, "sh"])


@pytest.fixture
def declared() -> str:
    """Return the declaration that `switched` is of; a module has its own."""
    return DECLARATION


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root that the tests of a module fill together."""
    return tmp_path_factory.mktemp("filled") / "root"


@pytest.fixture
def switched(declared: str, filled: Path, place: Place, envtool: Run) -> Run:
    """Let the project be the declared one, from the host's index; its root is the filled one."""
    place.root = filled
    place.environ |= {"ENVTOOL_ROOT": str(filled)}
    place.environ |= {key: text for key, text in os.environ.items() if key.startswith("PIP_")}
    (place.project / "envtool.toml").write_text(declared)
    ended = envtool("switch")
    assert ended.returncode == 0, ended.stderr
    return envtool


@dataclass(frozen=True)
class MakeGeneration:
    """Switch to an environment with these programs, made without any index; return where it is.

    It is a real generation in a real store; the path is the physical one.
    """

    place: Place
    sources: Path
    """Where the trees are made that are added to the store."""
    count: Iterator[int]

    def __call__(
        self,
        programs: Mapping[str, str] | None = None,
        *,
        packages: Mapping[str, tuple[str, ...]] | None = None,
        environment: str = "default",
        hook: str | None = None,
        kernel: str | None = None,
        allowed: bool = True,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        source = self.sources / str(next(self.count))
        _write_programs(source, {"hello": "#!/bin/sh\necho hello\n", **(programs or {})})
        workspace, project = self.place.settings_of(), self.place.project_of(environment)
        store = Store(workspace.settings)
        path = store.add_tree(str(source), "demo-env")
        text = Path(project.path).read_text()
        record = Record(
            name="demo" if environment == "default" else f"demo.{environment}",
            environment=path,
            python="3.11.2",
            impure=True,
            kind=project.kind,
            declaration_sha256=_sha256(text),
            lock_digest=lock_digest(parse(text, path=project.path, kind=project.kind)),
            variables={"GREETING": "hei"} if variables is None else dict(variables),
            hook=hook,
            kernel=kernel,
            packages=[_package(name, needs) for name, needs in (packages or {}).items()],
        )
        workspace.profile(project).set(add_generation(store, record, text, "lock"))
        if allowed:
            Consent(workspace.settings, project.path).allow(_sha256(text))
        return store.physical(path)


@pytest.fixture
def make_generation(place: Place, tmp_path: Path) -> MakeGeneration:
    return MakeGeneration(place, tmp_path / "sources", itertools.count())


def _write_programs(source: Path, programs: Mapping[str, str]) -> None:
    (source / "bin").mkdir(parents=True)
    (source / "lib/envtool").mkdir(parents=True)
    if "python" not in programs:
        (source / "bin/python").symlink_to(sys.executable)
    for name, text in programs.items():
        (source / "bin" / name).write_text(text)
        (source / "bin" / name).chmod(0o755)


def _package(name: str, needs: tuple[str, ...]) -> Package:
    name, _, version = name.partition("==")
    return Package(
        name=name.removeprefix("*"),
        version=version or None,
        path=None,
        size=1000,
        direct=name.startswith("*"),
        requires=needs,
    )


def _sha256(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()


class MakeExtension(Protocol):
    """Write a project `mine` with a module in C, which runs this line when it is imported.

    `macros` is the Python expression of the macros that it is compiled with.
    """

    def __call__(self, line: str, *, macros: str = "[]") -> Path: ...


@pytest.fixture
def make_extension(tmp_path: Path) -> MakeExtension:
    def make(line: str, *, macros: str = "[]") -> Path:
        folder = tmp_path / "mine"
        folder.mkdir()
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
            '[project]\nname = "mine"\nversion = "1.0"\n'
        )
        (folder / "setup.py").write_text(
            "import os\nfrom setuptools import Extension, setup\n"
            f'setup(ext_modules=[Extension("mine", ["mine.c"], define_macros={macros})])\n'
        )
        (folder / "mine.c").write_text(
            "#include <Python.h>\n"
            'static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "mine", 0, -1};\n'
            "PyMODINIT_FUNC PyInit_mine(void)\n{\n"
            f"    PyObject *made = PyModule_Create(&module);\n    {line}\n    return made;\n}}\n"
        )
        return folder

    return make


class Terminal(pexpect.spawn):  # type: ignore[misc] # pexpect has no types
    """A terminal that a test types at, and the program on it; what is seen has no escapes."""

    said = ""
    """What was printed between the last command and its answer, such as by the prompt."""

    def answer(self, command: str) -> str:
        """Return what a command prints between two marks that the typed line does not hold."""
        self.sendline(f"echo 'b''egin'; {command}; echo 'e''nd'")
        self.expect(r"begin\r\n(.*?)\r?\n?end\r\n")
        self.said = _plain(self.before)
        return _plain(self.match[1]).strip()

    def line(self, beginning: str) -> str:
        """Return the rest of a line from where these letters stand, once it has come."""
        self.expect(rf"{re.escape(beginning)}[^\r\n]*(?=\r)")
        return _plain(self.after).strip()

    def ended(self) -> int:
        """Return the exit code once the program has ended."""
        self.expect(pexpect.EOF)
        self.close()
        assert self.exitstatus is not None, f"signal {self.signalstatus}"
        return int(self.exitstatus)


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>(]B?|\r", "", text)


class OpenTerminal(Protocol):
    """Start a program on a terminal of its own, in the project, with just these variables more."""

    def __call__(
        self, *words: str, cwd: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> Terminal: ...


@pytest.fixture
def open_terminal(place: Place) -> Iterator[OpenTerminal]:
    """Start programs on pseudo-terminals; what is left at the end is hung up on."""
    started = []

    def start(
        *words: str, cwd: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> Terminal:
        terminal = Terminal(
            words[0],
            list(words[1:]),
            cwd=str(cwd or place.project),
            env={**place.environ, **(environ or {})},
            encoding="utf-8",
            timeout=30,
            dimensions=(24, 250),
        )
        started.append(terminal)
        return terminal

    yield start
    for terminal in started:
        terminal.close(force=True)


class Spawn(Protocol):
    """Start the command line on a terminal of its own."""

    def __call__(self, *words: str, environ: Mapping[str, str] | None = None) -> Terminal: ...


@pytest.fixture
def spawn(open_terminal: OpenTerminal) -> Spawn:
    return partial(open_terminal, *START)


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest) -> str:
    """Name each of the shells that envtool speaks and this machine has."""
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not here")
    return name
