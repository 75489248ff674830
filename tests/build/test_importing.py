"""Importing modules to see whether they can be: each in a process of its own."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.build.importing import Attempt, Importer, modules
from envtool.build.unpack import unpack
from envtool.reporting import SilentReporter

if TYPE_CHECKING:
    from fixtures.wheels import MakeWheel

MISSING = "libwhat_nobody_has.so.7"


def importer(folder: Path, limit: int = 20) -> Importer:
    return Importer(sys.executable, {"PYTHONPATH": str(folder), "KEPT": "1"}, limit)


def test_modules_are_those_for_users(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    wheel = make_wheel(
        "tiny",
        files={
            "tiny/__init__.py": "",
            "tiny/inner.py": "",
            "one.py": "",
            "two.cpython-311-x86_64-linux-gnu.so": "",
            "_private.py": "",
            "tests/__init__.py": "",
            "tiny.libs/libz.so.1": "",
            "space/part/__init__.py": "",
            "space/part/deep.py": "",
            "space/module.abi3.so": "",
            "space/_own.py": "",
            "space/tests/__init__.py": "",
            "data/words.txt": "",
        },
    )
    unpack(str(wheel), wheel.name, str(tmp_path / "target"))
    assert modules(str(tmp_path / "target")) == (
        "one",
        "space.module",
        "space.part",
        "tiny",
        "two",
    )


@pytest.mark.parametrize(
    ("code", "error", "soname"),
    [
        ("x = 1", None, None),
        ("print('noise'); import threading; threading.Thread(target=input).start()", None, None),
        ("raise ValueError('one\\ntwo')", "ValueError: one", None),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", None),
        ("import sys; sys.exit(3)", "SystemExit: 3", None),
        ("import os; os._exit(3)", "exit code 3", None),
        ("import os; os.abort()", "killed by SIGABRT", None),
        ("import os; os.kill(os.getpid(), 14)", "not imported within 20 s", None),
        (
            f"import ctypes; ctypes.CDLL({MISSING!r})",
            f"OSError: {MISSING}: cannot open shared object file: No such file or directory",
            MISSING,
        ),
    ],
)
def test_an_import_is_told_by_its_end(
    tmp_path: Path, code: str, error: str | None, soname: str | None
) -> None:
    (tmp_path / "module.py").write_text(code)
    assert importer(tmp_path).attempt("p", "module") == Attempt("p", "module", error, soname)


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("import nowhere.near")
    made = importer(tmp_path).attempt("p", "module")
    assert (made.error, made.wants) == ("ModuleNotFoundError: No module named 'nowhere'", "nowhere")


def test_an_import_that_hangs_is_ended(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("import threading; threading.Event().wait()")
    error = "not imported within 1 s"
    assert importer(tmp_path, 1).attempt("p", "module") == Attempt("p", "module", error)


def test_a_module_finds_the_variables_and_an_empty_folder(tmp_path: Path) -> None:
    code = "import os; assert os.environ['KEPT'] == '1' and os.listdir() == []; open('x', 'w')"
    (tmp_path / "module.py").write_text(code)
    assert importer(tmp_path).attempt("p", "module").error is None


def test_many_are_tried_side_by_side_and_told_in_order(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(6)]
    for name in names:
        (tmp_path / f"{name}.py").write_text("import nowhere" if name == "m3" else "")
    wanted = [("p", name) for name in names]
    made = importer(tmp_path).try_all(wanted, SilentReporter(), jobs=3)
    assert [each.module for each in made] == names
    assert [each.module for each in made if each.error] == ["m3"]
    assert os.getcwd() not in str(made)
