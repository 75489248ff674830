"""Building source projects with real back ends: editable, from a path, from git, from an sdist."""

import io
import os
import socket
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.build.project import copied, extracted
from envtool.errors import BuildError, FetchError, ResolutionError, SandboxError
from envtool.formats.outcomes import Generation
from envtool.machine.project import Project
from envtool.values import replace
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from fixtures.wheels import MakeSdist

SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
HATCHLING = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
PYPROJECT = '[project]\nname = "mine"\nversion = "1.0"\nscripts = { mine = "mine:main" }\n'
SOURCE = "import sys\n\n\ndef main() -> None:\n    print('first', *sys.argv[1:])\n"
OWN_BACK_END = """
[build-system]
requires = ["setuptools"]
build-backend = "backend"
backend-path = ["."]
"""


@dataclass
class Room:
    """A project `mine` and, beside it, a folder that declares it."""

    workspace: Workspace
    folder: Path

    @property
    def mine(self) -> Path:
        return self.folder / "mine"

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def declare(self, source: str, *, requirement: str = "mine") -> Project:
        text = f'name = "user"\ndependencies = ["{requirement}"]\n[sources]\n{source}\n'
        self.write({"user/envtool.toml": text})
        return open_project(str(self.folder / "user"))

    def switch(self, project: Project) -> Generation:
        return self.workspace.switch(project)[0]

    def run(self, *words: str) -> str:
        """Run a program of the current generation as its shell would, and return what it prints."""
        project = open_project(str(self.folder / "user"))
        current = self.workspace.current(project)
        assert current is not None
        environment = self.workspace.physical(current[1].environment)
        program = os.path.join(environment, "bin", words[0])
        done = subprocess.run(
            [program, *words[1:]], capture_output=True, text=True, check=False, cwd="/", env={}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def room(workspace: Workspace, tmp_path: Path) -> Room:
    return Room(workspace, tmp_path / "room")


EDITABLE = 'mine = { path = "../mine", editable = true }'
BUILT = 'mine = { path = "../mine" }'


def mine(build_system: str, source: str = SOURCE) -> dict[str, str]:
    return {"mine/pyproject.toml": build_system + PYPROJECT, "mine/src/mine/__init__.py": source}


@pytest.mark.parametrize("build_system", [SETUPTOOLS, HATCHLING], ids=["setuptools", "hatchling"])
def test_editable_project_stays_where_it_is_and_follows_its_source(
    room: Room, build_system: str
) -> None:
    room.write(mine(build_system))
    generation = room.switch(room.declare(EDITABLE))
    assert room.run("mine", "a b") == "first a b"
    shown = room.run("python", "-c", "import mine; print(mine.__file__)")
    assert shown == str(room.mine / "src/mine/__init__.py")
    room.write({"mine/src/mine/__init__.py": SOURCE.replace("first", "second")})
    assert room.run("mine") == "second"
    package = next(each for each in generation.record.packages if each.name == "mine")
    assert package.path is not None
    assert list(Path(room.workspace.physical(package.path)).rglob("mine/__init__.py")) == []


def test_new_script_of_an_editable_project_needs_only_a_switch(room: Room) -> None:
    room.write(mine(SETUPTOOLS))
    project = room.declare(EDITABLE)
    room.switch(project)
    text = (SETUPTOOLS + PYPROJECT).replace('mine = "mine:main"', 'other = "mine:main"')
    room.write({"mine/pyproject.toml": text})
    room.switch(project)
    assert room.run("other") == "first"


def test_project_at_a_path_is_built_from_a_copy(room: Room) -> None:
    room.write(mine(HATCHLING))
    project = room.declare(BUILT)
    room.switch(project)
    room.write({"mine/src/mine/__init__.py": SOURCE.replace("first", "second")})
    assert room.run("mine") == "first"
    room.switch(project)
    assert room.run("mine") == "second"
    assert sorted(os.listdir(room.mine)) == ["pyproject.toml", "src"]


def test_unchanged_project_is_not_built_again(room: Room) -> None:
    room.write(mine(HATCHLING))
    project = room.declare(BUILT)
    first = room.switch(project)
    assert room.workspace.plan(project).up_to_date
    assert room.switch(project).number == first.number


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a commit")
    return git(folder, "rev-parse", "HEAD")


def test_project_of_a_git_repository_is_pinned_to_its_commit(room: Room) -> None:
    room.write(mine(HATCHLING))
    first = commit(room.mine)
    project = room.declare("", requirement=f"mine @ git+{room.mine.as_uri()}")
    room.switch(project)
    assert room.run("mine") == "first"
    room.write({"mine/src/mine/__init__.py": SOURCE.replace("first", "second")})
    commit(room.mine)
    room.switch(project)
    assert room.run("mine") == "first"
    assert first in (room.folder / "user/pylock.toml").read_text()
    room.workspace.lock(project, upgrade=True)
    room.switch(project)
    assert room.run("mine") == "second"


def test_project_in_a_subfolder_of_a_repository_is_found(room: Room) -> None:
    room.write({f"whole/parts/{name}": text for name, text in mine(HATCHLING).items()})
    commit(room.folder / "whole")
    url = f"git+{(room.folder / 'whole').as_uri()}#subdirectory=parts/mine"
    room.switch(room.declare("", requirement=f"mine @ {url}"))
    assert room.run("mine") == "first"


def test_sdist_at_a_path_is_built(room: Room, make_sdist: "MakeSdist") -> None:
    sdist = make_sdist("mine", "3.0")
    room.switch(room.declare(f'mine = {{ path = "{sdist}" }}'))
    assert room.run("python", "-c", "import mine; print(mine.VERSION)") == "3.0"


def failing(room: Room, setup: str, *, source: str = BUILT) -> BuildError:
    files = mine(SETUPTOOLS)
    room.write({**files, "mine/setup.py": setup})
    with pytest.raises(BuildError) as caught:
        room.switch(room.declare(source))
    return caught.value


@pytest.mark.parametrize("source", [BUILT, EDITABLE], ids=["built", "editable"])
def test_failing_build_shows_the_end_of_its_log_and_where_it_is(room: Room, source: str) -> None:
    lines = "for n in range(40): print('line', n, flush=True)\n"
    error = failing(room, f"{lines}raise SystemExit('the compiler is missing')\n", source=source)
    assert "mine: its build failed" in error.message
    assert "the compiler is missing" in error.message
    assert "line 39" in error.message
    assert "line 1\n" not in error.message
    assert error.hint is not None
    log = Path(error.hint.removeprefix("the whole log: "))
    assert log.is_relative_to(room.workspace.settings.logs)
    assert "line 0\n" in log.read_text()


def test_build_sees_nothing_of_the_users_environment(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    error = failing(
        room,
        "import os, sys\n"
        "print({k: v for k, v in os.environ.items() if not k.startswith('_')})\n"
        "print('stdin', repr(sys.stdin.read()))\n"
        "sys.exit(1)\n",
    )
    assert "'HOME': '/homeless-shelter'" in error.message
    assert "SECRET_TOKEN" not in error.message
    assert "PYTHONPATH" not in error.message
    assert "stdin ''" in error.message


def test_failed_build_leaves_the_generation_before_it(room: Room) -> None:
    room.write(mine(SETUPTOOLS))
    project = room.declare(BUILT)
    room.switch(project)
    room.write({"mine/setup.py": "1 / 0\n"})
    with pytest.raises(BuildError, match="ZeroDivisionError"):
        room.switch(project)
    assert room.run("mine") == "first"


def test_requirement_that_the_lock_lacks_is_asked_of_the_author(room: Room) -> None:
    room.write(mine(OWN_BACK_END))
    back_end = (
        "from setuptools.build_meta import *\n"
        "def get_requires_for_build_wheel(config_settings=None):\n"
        "    return ['envtool-has-no-such-tool>=2', \"other; python_version < '3'\"]\n"
    )
    room.write({"mine/backend.py": back_end})
    with pytest.raises(BuildError, match="asks for envtool-has-no-such-tool>=2") as caught:
        room.switch(room.declare(BUILT))
    assert "other" not in caught.value.message
    assert caught.value.hint is not None
    assert "requires of [build-system]" in caught.value.hint


def test_back_end_that_the_lock_lacks_is_named_and_can_be_locked(room: Room) -> None:
    room.write(mine(SETUPTOOLS.replace('["setuptools"]', "[]")))
    project = room.declare(BUILT)
    with pytest.raises(BuildError, match=r"'setuptools\.build_meta' is not available") as caught:
        room.switch(project)
    assert caught.value.hint is not None
    assert "envtool lock --upgrade" in caught.value.hint
    room.write(mine(SETUPTOOLS))
    room.workspace.lock(project, upgrade=True)
    room.switch(project)
    assert room.run("mine") == "first"


def test_build_that_keeps_a_path_of_this_machine_is_refused(room: Room) -> None:
    room.write(mine(SETUPTOOLS))
    setup = (
        "import os, setuptools\n"
        "open('src/mine/where.py', 'w').write(f'WHERE = {os.getcwd()!r}')\nsetuptools.setup()\n"
    )
    room.write({"mine/setup.py": setup})
    with pytest.raises(BuildError, match="a path of this machine") as caught:
        room.switch(room.declare(BUILT))
    assert caught.value.hint is not None
    assert "editable" in caught.value.hint


@pytest.mark.programs("gcc")
def test_an_extension_with_debugging_information_names_no_path_of_this_machine(room: Room) -> None:
    room.write(mine(SETUPTOOLS))
    setup = (
        "from setuptools import Extension, setup\n"
        "some = Extension('mine.some', ['src/mine/some.c'], extra_compile_args=['-g'])\n"
        "setup(ext_modules=[some])\n"
    )
    room.write({"mine/setup.py": setup, "mine/src/mine/some.c": "int some(void) { return 42; }\n"})
    room.switch(room.declare(BUILT))
    code = "import glob, mine; print(*glob.glob(f'{mine.__path__[0]}/some.*.so'))"
    (built,) = room.run("python", "-c", code).split()
    assert b"/build" in Path(built).read_bytes()


# -- sources


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


HOSTILE = {
    "dotdot": member("../escaped"),
    "absolute": member("/tmp/envtool-escaped"),
    "dotdot within": member("mine-1.0/sub/../../../escaped"),
    "link by detour": member("mine-1.0/link", tarfile.SYMTYPE, "sub/../../escaped"),
    "absolute link": member("mine-1.0/link", tarfile.SYMTYPE, "/etc/passwd"),
    "link out": member("mine-1.0/link", tarfile.SYMTYPE, "../../escaped"),
    "hard link out": member("mine-1.0/link", tarfile.LNKTYPE, "../escaped"),
    "device": member("mine-1.0/null", tarfile.CHRTYPE),
    "fifo": member("mine-1.0/fifo", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_sdist_is_refused_and_writes_nothing_outside(tmp_path: Path, kind: str) -> None:
    path = archive(tmp_path / "mine.tar.gz", (member("mine-1.0/a.py"), b"a"), (HOSTILE[kind], b""))
    (tmp_path / "work").mkdir()
    with pytest.raises(BuildError, match="mine: its sdist cannot be unpacked"):
        extracted(str(path), str(tmp_path / "work"), "mine")
    assert sorted(os.listdir(tmp_path)) == ["mine.tar.gz", "work"]
    assert set(os.listdir(tmp_path / "work")) <= {"source"}


def test_nothing_is_written_through_a_link_of_an_sdist(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "mine.tar.gz",
        (member("mine-1.0/sub", tarfile.SYMTYPE, "."), b""),
        (member("mine-1.0/sub/a.py"), b"a"),
    )
    with pytest.raises(BuildError, match=r"'mine-1\.0/sub/a\.py' lies behind a link"):
        extracted(str(path), str(tmp_path / "work"), "mine")


def test_links_inside_an_sdist_are_kept_and_setuid_bits_are_not(tmp_path: Path) -> None:
    tool = member("mine-1.0/sub/tool")
    tool.mode = 0o6777
    path = archive(
        tmp_path / "mine.tar.gz",
        (tool, b"tool"),
        (member("mine-1.0/sub/link", tarfile.SYMTYPE, "../sub/tool"), b""),
        (member("mine-1.0/hard", tarfile.LNKTYPE, "mine-1.0/sub/tool"), b""),
    )
    source = Path(extracted(str(path), str(tmp_path / "work"), "mine"))
    assert (source / "sub/link").read_bytes() == b"tool"
    assert (source / "hard").read_bytes() == b"tool"
    assert (source / "sub/tool").stat().st_mode & 0o7022 == 0
    assert (source / "sub/tool").stat().st_uid == os.getuid()


def test_sdist_with_two_folders_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "mine.tar.gz", (member("a/a.py"), b""), (member("b/b.py"), b""))
    with pytest.raises(BuildError, match="must hold one folder, holds 2"):
        extracted(str(path), str(tmp_path / "work"), "mine")


def test_sdist_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="must hold one folder, holds 0"):
        extracted(str(archive(tmp_path / "mine.tar.gz")), str(tmp_path / "work"), "mine")


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08\0", b"<html>"])
def test_sdist_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(content)
    with pytest.raises(BuildError, match="cannot be unpacked"):
        extracted(str(path), str(tmp_path / "work"), "mine")


def test_truncated_sdist_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "mine.tar.gz", (member("mine-1.0/a.py"), os.urandom(5000)))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(BuildError, match="cannot be unpacked"):
        extracted(str(path), str(tmp_path / "work"), "mine")


def test_copy_of_a_read_only_tree_can_be_written(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/run").write_text("run")
    (tree / "sub/link").symlink_to("run")
    (tree / "sub/run").chmod(0o555)
    (tree / "sub").chmod(0o555)
    copy = Path(copied(str(tree), str(tmp_path)))
    assert (copy / "sub/run").stat().st_mode & 0o777 == 0o755
    assert (copy / "sub").stat().st_mode & 0o777 == 0o700
    assert os.readlink(copy / "sub/link") == "run"
    assert (tree / "sub/run").stat().st_mode & 0o777 == 0o555


# -- sources that are gone


def test_path_that_is_gone_is_named_with_the_way_out(room: Room) -> None:
    room.write(mine(HATCHLING))
    project = room.declare(BUILT)
    room.workspace.lock(project)
    room.mine.rename(room.folder / "moved")
    with pytest.raises(ResolutionError, match=r"mine is to come from .*, where there is") as caught:
        room.switch(project)
    assert caught.value.hint is not None
    assert str(room.folder) in caught.value.hint


def test_commit_that_is_in_the_store_needs_its_repository_no_more(room: Room) -> None:
    room.write(mine(HATCHLING))
    commit(room.mine)
    project = room.declare("", requirement=f"mine @ git+{room.mine.as_uri()}")
    room.switch(project)
    room.mine.rename(room.folder / "moved")
    assert room.workspace.plan(project).up_to_date


def test_commit_that_cannot_be_had_is_gits_to_explain(room: Room) -> None:
    room.write(mine(HATCHLING))
    pinned = commit(room.mine)
    project = room.declare("", requirement=f"mine @ git+{room.mine.as_uri()}")
    room.workspace.lock(project)
    room.mine.rename(room.folder / "moved")
    with pytest.raises(FetchError, match=f"mine: git cannot fetch {pinned}") as caught:
        room.switch(project)
    assert room.mine.as_uri() in caught.value.message


def probing(code: str) -> dict[str, str]:
    """Return the files of a project whose back end runs `code` before it builds."""
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    back_end = f"from setuptools.build_meta import *\ndef _probe():\n{lines}_probe()\n"
    return {**mine(OWN_BACK_END), "mine/backend.py": back_end}


@pytest.mark.namespaces
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import socket\nsocket.create_connection(('127.0.0.1', PORT), 9)", "refused"),
        ("print(open(SECRET).read())", "No such file or directory"),
        ("open('/usr/lib/mark', 'w')", "Read-only file system"),
        ("import os\nassert not os.path.exists(os.path.expanduser('~')), 'home'", None),
        ("import os\nassert len([n for n in os.listdir('/proc') if n.isdigit()]) < 9", None),
        ("import os\nassert os.getuid() == 1000", None),
    ],
    ids=["network", "secret", "system", "home", "processes", "user"],
)
def test_build_is_shut_in(room: Room, tmp_path: Path, code: str, said: str | None) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the user's own")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        room.write(probing(code.replace("SECRET", repr(str(secret))).replace("PORT", port)))
        project = room.declare(BUILT)
        if said is None:
            room.switch(project)
            return
        with pytest.raises(BuildError, match=said) as caught:
            room.switch(project)
    assert "the user's own" not in caught.value.message


@pytest.mark.namespaces
def test_editable_build_sees_its_own_folder_and_no_other_of_the_user(
    room: Room, tmp_path: Path
) -> None:
    (tmp_path / "other").write_text("")
    code = f"import os\nopen('mark', 'w').close()\nassert not os.path.exists('{tmp_path}/other')"
    room.write(probing(code))
    room.switch(room.declare(EDITABLE))
    assert (room.mine / "mark").exists()


@pytest.fixture
def denied(room: Room, tmp_path: Path) -> Room:
    """Give a workspace on a machine that has no sandbox."""
    settings = replace(room.workspace.settings, path=str(tmp_path), sandbox="auto")
    return Room(Workspace(settings), room.folder)


def test_projects_of_ones_own_are_built_where_there_is_no_sandbox(denied: Room) -> None:
    denied.write(mine(SETUPTOOLS))
    denied.switch(denied.declare(BUILT))
    assert denied.run("mine") == "first"


def test_code_of_others_is_not_built_without_a_sandbox_unless_asked(
    denied: Room, make_sdist: "MakeSdist"
) -> None:
    project = denied.declare(f"mine = {{ path = '{make_sdist('mine', '4.0')}' }}")
    with pytest.raises(SandboxError, match="mine must be built, and there is no sandbox") as caught:
        denied.switch(project)
    assert caught.value.hint is not None
    assert "export ENVTOOL_SANDBOX=off" in caught.value.hint
    settings = replace(denied.workspace.settings, sandbox="off")
    Room(Workspace(settings), denied.folder).switch(project)
