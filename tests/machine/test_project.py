import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from envtool.errors import DeclarationError, LockError
from envtool.formats.declarations.declaration import Kind
from envtool.formats.declarations.editing.template import template
from envtool.machine import project


@pytest.fixture
def ordinary_folder() -> Iterator[Path]:
    """Give a folder to an ordinary user and be that user: root is allowed everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            folder.chmod(0o755)
            return
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)
            folder.chmod(0o755)


def write(path: Path, text: str = "") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_nearest_folder_upwards_that_declares_is_found(tmp_path: Path) -> None:
    outer = write(tmp_path / "envtool.toml")
    inner = write(tmp_path / "a/pyproject.toml", "# x\n[project]\n")
    below = tmp_path / "a/b/c"
    below.mkdir(parents=True)
    assert project.find(str(below)) == (inner, "pyproject.toml")
    assert project.find(str(tmp_path)) == (outer, "envtool.toml")


def test_envtool_toml_wins_over_a_pyproject_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[project]\n")
    path = write(tmp_path / "envtool.toml")
    assert project.find(str(tmp_path)) == (path, "envtool.toml")


@pytest.mark.parametrize(
    ("text", "is_ours"),
    [
        ("[tool.envtool]\n", True),
        ("[tool.envtool.vars]\n", True),
        ("[ tool . envtool ]\n", True),
        ("x = 1\n  [project]\n", True),
        ("[project.urls]\n", True),
        ("project.name = 'x'\n", True),
        ('[ "tool" . "envtool".x]\n', True),
        ("tool.envtool.python = '3.13'\n", True),
        ("\tproject = {}\n", True),
        ("[tool.envtools]\n", False),
        ("[tools.envtool]\n", False),
        ("[tool]\nenvtool = {}\n", False),
        ("[[project]]\n", False),
        ("projects = 1\n", False),
        ("[tool.envtool-x]\n", False),
        ("[tool.ruff]\n# [project]\n", False),
        ("[build-system]\n", False),
    ],
)
def test_a_pyproject_counts_when_it_has_a_table_for_us(
    tmp_path: Path, text: str, is_ours: bool
) -> None:
    outer = write(tmp_path / "envtool.toml")
    inner = write(tmp_path / "a/pyproject.toml", text)
    assert project.find(str(tmp_path / "a"))[0] == (inner if is_ours else outer)


def test_nothing_found_says_how_to_begin() -> None:
    with pytest.raises(DeclarationError) as caught:
        project.find("/proc")
    assert caught.value.hint == "envtool init"


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("other.toml", "", "envtool.toml"),
        ("pyproject.toml", "", "pyproject.toml"),
        ("x.py", "", "script"),
        ("n.ipynb", template("n", "3.12", "notebook-cell"), "notebook-cell"),
        ("n.ipynb", '{"nbformat": 4, "cells": []}', "notebook-cell"),
        (
            "n.ipynb",
            '{"nbformat": 4, "cells": [], "metadata": {"envtool": {"declaration": {}}}}',
            "notebook-metadata",
        ),
    ],
)
def test_an_explicit_file_is_taken_by_its_name(
    tmp_path: Path, name: str, text: str, kind: Kind
) -> None:
    path = write(tmp_path / "a" / name, text)
    assert project.find(str(tmp_path), file=f"a/{name}") == (path, kind)
    assert project.find("/", file=path) == (path, kind)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"expected a .toml, a .py or an .ipynb"):
        project.find(str(tmp_path), file=write(tmp_path / "x.txt"))
    with pytest.raises(DeclarationError, match="a directory, not a file"):
        project.find("/", file=str(tmp_path))


def test_a_declaration_is_read_from_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "envtool.toml", '[env.ci]\ndependencies = ["x"]\n')
    found = project.read(path, "envtool.toml", "ci")
    assert (found.path, found.requirements) == (path, ("x",))


@pytest.mark.parametrize("name", ["gone", "gone/x", "file/x", "folder", "pipe", "nul\0", "x" * 300])
def test_what_cannot_be_read_as_a_file_is_a_clear_error(tmp_path: Path, name: str) -> None:
    write(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DeclarationError) as caught:
        project.read(f"{tmp_path}/{name}", "envtool.toml")
    assert caught.value.faults[0].message


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "envtool.toml"
    path.write_bytes(b"# one\nname = '\xe9t\xe9'\n")
    with pytest.raises(DeclarationError) as caught:
        project.read(str(path), "envtool.toml")
    [fault] = caught.value.faults
    assert fault.line == 2
    assert "0xe9" in fault.message


def test_a_file_that_may_not_be_read_is_a_clear_error(ordinary_folder: Path) -> None:
    path = ordinary_folder / "pyproject.toml"
    write(path, "[project]\n")
    path.chmod(0)
    with pytest.raises(DeclarationError, match="not allowed to read it"):
        project.find(str(ordinary_folder))


@pytest.mark.parametrize(
    ("name", "kind", "environment", "lock"),
    [
        ("envtool.toml", "envtool.toml", "default", "pylock.toml"),
        ("pyproject.toml", "pyproject.toml", "ci", "pylock.ci.toml"),
        ("envtool.toml", "envtool.toml", "py3.12", "pylock.py3-12.toml"),
        ("My plot.v2.py", "script", "default", "pylock.My-plot-v2.toml"),
        ("x.py", "script", "ci", "pylock.x-ci.toml"),
        ("n.ipynb", "notebook-cell", "default", None),
    ],
)
def test_a_lock_lies_beside_its_declaration_under_the_name_of_pep_751(
    name: str, kind: Kind, environment: str, lock: str | None
) -> None:
    expected = lock and f"/p/{lock}"
    assert project.lock_path(f"/p/{name}", kind, environment) == expected


def test_a_lock_is_written_and_read_back(tmp_path: Path) -> None:
    path = write(tmp_path / "envtool.toml")
    assert project.read_lock_text(path, "envtool.toml") is None
    assert project.write_lock_text(path, "envtool.toml", "default", "é\r\n\n") == str(
        tmp_path / "pylock.toml"
    )
    assert project.read_lock_text(path, "envtool.toml") == "é\r\n\n"
    assert sorted(os.listdir(tmp_path)) == ["envtool.toml", "pylock.toml"]


def test_the_lock_of_a_notebook_lies_inside(tmp_path: Path) -> None:
    path = write(tmp_path / "n.ipynb", template("n", "3.12", "notebook-cell"))
    assert project.read_lock_text(path, "notebook-cell") is None
    assert project.write_lock_text(path, "notebook-cell", "default", "x\n") == path
    assert project.read_lock_text(path, "notebook-cell") == "x\n"
    assert os.listdir(tmp_path) == ["n.ipynb"]


def test_a_lock_that_cannot_be_read_is_an_error_of_the_lock(tmp_path: Path) -> None:
    path = write(tmp_path / "envtool.toml")
    (tmp_path / "pylock.toml").mkdir()
    with pytest.raises(LockError, match="a directory, not a file"):
        project.read_lock_text(path, "envtool.toml")


def test_a_rewritten_file_keeps_its_mode_and_a_new_one_follows_the_umask(tmp_path: Path) -> None:
    path = write(tmp_path / "envtool.toml")
    os.chmod(path, 0o640)
    project.write_declaration(path, "name = 'x'\n")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    assert Path(path).read_text(encoding="utf-8") == "name = 'x'\n"
    before = os.umask(0o027)
    try:
        project.write_lock_text(path, "envtool.toml", "default", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "pylock.toml").st_mode) == 0o640


def test_a_symlink_stays_one(tmp_path: Path) -> None:
    target = write(tmp_path / "shared/envtool.toml")
    link = tmp_path / "envtool.toml"
    link.symlink_to("shared/envtool.toml")
    project.write_declaration(str(link), "# new\n")
    assert link.is_symlink()
    assert Path(target).read_text(encoding="utf-8") == "# new\n"


def test_a_reader_that_has_the_old_file_open_goes_on_reading_it(tmp_path: Path) -> None:
    path = write(tmp_path / "envtool.toml", "old")
    with open(path, encoding="utf-8") as old:
        project.write_declaration(path, "new")
        assert old.read() == "old"


def test_a_read_only_folder_is_named_with_what_to_do(ordinary_folder: Path) -> None:
    path = write(ordinary_folder / "envtool.toml")
    ordinary_folder.chmod(0o555)
    with pytest.raises(LockError) as lock:
        project.write_lock_text(path, "envtool.toml", "default", "x")
    assert str(ordinary_folder) in lock.value.message
    assert "writable" in (lock.value.hint or "")
    with pytest.raises(DeclarationError, match="not allowed to write"):
        project.write_declaration(path, "x")
    with pytest.raises(DeclarationError, match="not allowed to write") as early:
        project.check_writable(path)
    assert early.value.hint == "copy it to where you may write"
    assert os.listdir(ordinary_folder) == ["envtool.toml"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path / "envtool.toml", "old")
    with pytest.raises(DeclarationError, match="surrogate"):
        project.write_declaration(path, "\ud800")
    with pytest.raises(DeclarationError):
        project.write_declaration(str(tmp_path / "gone/envtool.toml"), "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DeclarationError):
        project.write_declaration(str(tmp_path / "folder"), "x")
    assert sorted(os.listdir(tmp_path)) == ["envtool.toml", "folder"]


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("script", "# /// script\n# x = 1\n# ///\nprint(1)\n", "# /// script\n# x = 1\n# ///\n"),
        (
            "notebook-metadata",
            '{"nbformat": 4, "cells": [], "metadata": {"envtool": {"declaration": {"a": 1}}}}',
            '{"nbformat": 4, "metadata": {"envtool": {"declaration": {"a": 1}}}, "cells": [{}]}',
        ),
        (
            "notebook-cell",
            '{"nbformat": 4, "metadata": {"envtool": 1}, "cells": []}',
            '{"nbformat": 4, "cells": []}',
        ),
    ],
)
def test_what_declares_is_the_same_when_something_else_changes(
    kind: Kind, one: str, other: str
) -> None:
    texts = {project.declaration_text("/p/x", kind, text=text) for text in (one, other)}
    assert len(texts) == 1


def test_all_of_a_toml_file_declares(tmp_path: Path) -> None:
    path = write(tmp_path / "envtool.toml", "# x\n")
    assert project.declaration_text(path, "envtool.toml") == "# x\n"
