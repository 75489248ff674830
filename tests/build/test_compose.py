"""Composing: many wheels and an interpreter joined into one environment that works."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import CollisionError
from envtool.formats.nix import nar
from envtool.machine.mending.verify import verify
from envtool.machine.settings import Settings
from envtool.machine.store import Store
from envtool.sources.interpreter import Interpreter

if TYPE_CHECKING:
    from build.conftest import Environment, Environments
    from fixtures.wheels import MakeWheel

MAIN = "import sys\ndef main():\n    print('main', *sys.argv[1:])\n    return 3\n"


def site_of(environments: "Environments", environment: "Environment") -> Path:
    return environment.path / environments.site


# -- folders


def test_folder_of_one_package_is_one_relative_link(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(make_wheel("one", files={"one/__init__.py": "", "one/sub/a.py": ""}))
    link = site_of(environments, made) / "one"
    assert link.is_symlink()
    assert os.readlink(link).startswith("../../../../")
    assert (link / "sub/a.py").is_file()


def test_module_without_a_folder_is_one_link(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(make_wheel("one"))
    assert (site_of(environments, made) / "one.py").is_symlink()
    assert made.python("import one; print(one.VERSION)") == "1.0"


def test_namespace_package_of_two_wheels_is_joined(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(
        make_wheel("space-one", files={"space/one/__init__.py": "NAME = 'one'"}),
        make_wheel("space-two", files={"space/two/__init__.py": "NAME = 'two'"}),
    )
    space = site_of(environments, made) / "space"
    assert not space.is_symlink()
    assert (space / "one").is_symlink()
    assert made.python("import space.one, space.two as t; print(space.one.NAME, t.NAME)") == (
        "one two"
    )


def test_nested_namespace_is_joined_only_as_deep_as_it_is_shared(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(
        make_wheel("one", files={"a/b/c/one/__init__.py": "", "a/only/__init__.py": ""}),
        make_wheel("two", files={"a/b/c/two/__init__.py": ""}),
    )
    top = site_of(environments, made) / "a"
    assert [path.is_symlink() for path in (top, top / "b", top / "b/c")] == [False] * 3
    assert (top / "only").is_symlink()
    assert (top / "b/c/two").is_symlink()
    assert made.python("import a.b.c.one, a.b.c.two, a.only; print('fine')") == "fine"


def test_wheel_may_add_files_to_a_package_of_another(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(
        make_wheel("qt", files={"qt/__init__.py": "", "qt/core.py": "NAME = 'core'"}),
        make_wheel("qt-runtime", files={"qt/lib/data.txt": "data"}),
    )
    code = (
        "import qt.core, os; print(os.path.exists(os.path.dirname(qt.__file__) + '/lib/data.txt'))"
    )
    assert made.python(code) == "True"


def test_data_scheme_reaches_the_prefix_and_joins_its_folders(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(
        make_wheel("one", data={"data/share/jupyter/one/a.json": "1", "data/etc/one.conf": "x"}),
        make_wheel("two", data={"data/share/jupyter/two/b.json": "2"}),
    )
    assert (made.path / "share/jupyter/one/a.json").read_text() == "1"
    assert (made.path / "share/jupyter/two/b.json").read_text() == "2"
    assert (made.path / "etc/one.conf").read_text() == "x"


def test_data_scheme_may_lead_into_site_packages(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(
        make_wheel("one", data={f"data/{environments.site}/extra/__init__.py": "NAME = 'extra'"})
    )
    assert made.python("import extra, one; print(extra.NAME)") == "extra"


def test_headers_lie_where_record_says(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(make_wheel("Some.Name", data={"headers/some/a.h": "int a;\n"}))
    info = site_of(environments, made) / "Some_Name-1.0.dist-info"
    rows = [line.split(",")[0] for line in (info / "RECORD").read_text().splitlines()]
    header = next(row for row in rows if row.endswith("a.h"))
    assert header == "../../../include/Some_Name/some/a.h"
    assert Path(os.path.normpath(site_of(environments, made) / header)).read_text() == "int a;\n"


def test_every_row_of_record_is_there(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    data = {"scripts/run": "#!python\n", "data/share/a": "a", "headers/a.h": "", "purelib/b.py": ""}
    made = environments.of(make_wheel("one", files={"one/__init__.py": ""}, data=data))
    site = site_of(environments, made)
    rows = (site / "one-1.0.dist-info/RECORD").read_text().splitlines()
    places = [os.path.normpath(site / row.split(",")[0]) for row in rows]
    assert len(places) == 8
    assert [place for place in places if not os.path.isfile(place)] == []


# -- collisions


def test_collision_names_both_owners_and_every_file(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    one = make_wheel("one", files={"shared.py": "1", "pkg/a.py": "1", "pkg/own.py": ""})
    two = make_wheel("two", files={"shared.py": "2", "pkg/a.py": "2"})
    with pytest.raises(CollisionError) as caught:
        environments.of(one, two)
    assert "shared.py belongs to one and two" in caught.value.message
    assert "pkg/a.py belongs to one and two" in caught.value.message
    assert "own.py" not in caught.value.message
    assert caught.value.hint is not None
    assert 'collisions = "warn"' in caught.value.hint


def test_collision_leaves_the_packages_valid_and_no_environment(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    wheels = [make_wheel(name, files={"shared.py": name}) for name in ("one", "two")]
    made = environments.instantiate(*wheels)
    with pytest.raises(CollisionError):
        environments.realise(made)
    store = environments.store
    assert made.environment is not None
    assert not store.is_valid(made.output(made.environment))
    assert all(store.is_valid(made.output(path)) for path in made.packages.values())
    assert verify(store, contents=True) == []


def test_same_contents_in_two_wheels_are_no_collision(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    wheels = [make_wheel(name, files={"shared.py": "NAME = 1", f"{name}.py": ""}) for name in "ab"]
    made = environments.of(*wheels)
    assert made.python("import shared; print(shared.NAME)") == "1"
    assert environments.notes.texts == []


def test_collision_in_a_folder_of_tests_is_only_reported(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(
        make_wheel("one", files={"tests/__init__.py": "1"}),
        make_wheel("two", files={"tests/__init__.py": "2"}),
    )
    assert environments.notes.texts == [
        "tests/__init__.py belongs to one and two; the first is used"
    ]
    assert (site_of(environments, made) / "tests/__init__.py").read_text() == "1"


def test_tolerated_collision_keeps_the_first_and_says_so(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    wheels = [make_wheel(name, files={"shared.py": f"NAME = {name!r}"}) for name in ("two", "one")]
    made = environments.of(*wheels, collisions="warn")
    assert made.python("import shared; print(shared.NAME)") == "one"
    assert environments.notes.texts == ["shared.py belongs to one and two; the first is used"]
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert manifest["collisions"] == ["shared.py belongs to one and two"]


@pytest.mark.parametrize("collisions", ["refuse", "warn"])
def test_file_against_folder_is_a_collision(
    environments: "Environments", make_wheel: "MakeWheel", collisions: str
) -> None:
    wheels = [make_wheel("one", files={"pkg": "file"}), make_wheel("two", files={"pkg/a.py": ""})]
    if collisions == "refuse":
        with pytest.raises(CollisionError, match="pkg belongs to two and one"):
            environments.of(*wheels)
    else:
        made = environments.of(*wheels, collisions="warn")
        assert (site_of(environments, made) / "pkg/a.py").is_file()


def test_two_console_scripts_of_one_name_are_a_collision(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    one = make_wheel("one", entry_points={"console_scripts": {"run": "one:main"}})
    two = make_wheel("two", entry_points={"console_scripts": {"run": "two:main"}})
    with pytest.raises(CollisionError, match="bin/run belongs to one and two"):
        environments.of(one, two)


def test_script_and_data_file_of_one_name_are_a_collision(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    one = make_wheel("one", entry_points={"console_scripts": {"run": "one:main"}})
    with pytest.raises(CollisionError, match="bin/run belongs to one and two"):
        environments.of(one, make_wheel("two", data={"data/bin/run": "#!/bin/sh\n"}))


RESERVED = ["pyvenv.cfg", "manifest.json", "lib64/a.txt", "lib/envtool/sitecustomize.py"]


@pytest.mark.parametrize("place", RESERVED)
def test_wheel_cannot_take_the_place_of_the_environments_own_files(
    environments: "Environments", make_wheel: "MakeWheel", place: str
) -> None:
    made = environments.of(make_wheel("one", data={f"data/{place}": "hostile = 1\n"}))
    assert "belongs to envtool and one" in environments.notes.texts[0]
    assert made.python("import sys; print(sys.prefix)") == str(made.path)
    assert verify(environments.store, contents=True) == []


def test_wheel_cannot_take_the_place_of_the_start_up_hook(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(make_wheel("one", files={"0-envtool.pth": "import os; os._exit(9)\n"}))
    assert made.python("import sys; print(bool(sys.pycache_prefix))") == "True"
    assert verify(environments.store, contents=True) == []


@pytest.mark.parametrize("name", ["python", "python3"])
def test_package_cannot_take_the_place_of_python(
    environments: "Environments", make_wheel: "MakeWheel", name: str
) -> None:
    files = {"one.py": MAIN}
    wheel = make_wheel("one", files=files, entry_points={"console_scripts": {name: "one:main"}})
    made = environments.of(wheel)
    assert made.run(name, "-c", "print('python')").stdout == "python\n"


# -- bin/


def test_console_script_runs_with_arguments_and_exit_code(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    points = {
        "console_scripts": {"Run-Me": "one.cli:main"},
        "gui_scripts": {"window": "one.cli:main"},
    }
    made = environments.of(
        make_wheel("one", files={"one/cli.py": MAIN, "one/__init__.py": ""}, entry_points=points)
    )
    done = made.run("Run-Me", "a", "b c")
    assert (done.returncode, done.stdout) == (3, "main a b c\n")
    assert made.run("window").stdout == "main\n"


def test_console_script_may_name_an_attribute_of_a_class(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    files = {"one.py": "class App:\n    @staticmethod\n    def run():\n        print('run')\n"}
    points = {"console_scripts": {"app": "one:App.run"}}
    assert environments.of(make_wheel("one", files=files, entry_points=points)).run(
        "app"
    ).stdout == ("run\n")


def test_scripts_get_the_environments_python(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    script = b"#!python\nimport sys, one\nprint(sys.prefix, one.VERSION, '\xc3\xbc')\n"
    made = environments.of(make_wheel("one", data={"scripts/run.py": script}))
    done = made.run("run.py", environ={"PYTHONUTF8": "1"})
    assert done.stdout == f"{made.path} 1.0 ü\n"


def test_scripts_of_another_language_are_linked_and_executable(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(make_wheel("one", data={"scripts/hello": "#!/bin/sh\necho hello $1\n"}))
    assert (made.path / "bin/hello").is_symlink()
    assert made.run("hello", "you").stdout == "hello you\n"


@pytest.mark.parametrize("part", ["with space", "x" * 250, "x" * 200 + " $HOME `id` \" ' it's"])
def test_scripts_work_below_a_root_that_a_shebang_cannot_say(
    tmp_path: Path,
    interpreter: Interpreter,
    make_wheel: "MakeWheel",
    part: str,
    environments: "Environments",
) -> None:
    wheel = make_wheel(
        "one",
        files={"one.py": MAIN},
        entry_points={"console_scripts": {"run": "one:main"}},
        data={"scripts/script": "#!python\nimport one, sys\nsys.exit(one.main())\n"},
    )
    with Store(Settings(root=str(tmp_path / part), fsync=False)) as store:
        made = type(environments)(store, interpreter).of(wheel)
    for program in ("run", "script"):
        done = made.run(program, "a b")
        assert (done.returncode, done.stdout, done.stderr) == (3, "main a b\n", "")


def test_python_of_the_environment_is_one_under_all_its_names(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(make_wheel("one"))
    for name in ("python", "python3", f"python{environments.interpreter.feature}"):
        done = made.run(name, "-c", "import sys, one; print(sys.prefix)")
        assert done.stdout.strip() == str(made.path), done.stderr


# -- start-up


@pytest.mark.parametrize("flags", [[], ["-I"], ["-E"], ["-s"], ["-P"], ["-O"], ["-X", "utf8"]])
def test_packages_are_importable_under_every_flag(
    environments: "Environments", make_wheel: "MakeWheel", flags: list[str]
) -> None:
    made = environments.of(make_wheel("one"))
    assert made.python("import one; print(one.VERSION)", *flags) == "1.0"


def test_nothing_of_the_host_is_importable(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(make_wheel("one"))
    outside = "[p for p in sys.path if p.endswith(('site-packages', 'dist-packages'))]"
    assert made.python(f"import sys; print({outside})") == repr([str(site_of(environments, made))])


def test_path_files_of_a_wheel_take_effect(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    files = {
        "one.pth": "one_lib\nimport sys; sys.started = 'started'\n",
        "one_lib/inner.py": "NAME = 'inner'\n",
    }
    made = environments.of(make_wheel("one", files=files))
    assert made.python("import inner, sys; print(inner.NAME, sys.started)") == "inner started"


def test_metadata_of_every_package_is_found(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(make_wheel("one"), make_wheel("two", "2.5"))
    code = (
        "from importlib.metadata import distributions as d\n"
        "print(sorted((x.metadata['Name'], x.version) for x in d()))\n"
        "print({x.read_text('INSTALLER') for x in d()})"
    )
    assert made.python(code).splitlines() == ["[('one', '1.0'), ('two', '2.5')]", r"{'envtool\n'}"]


# -- what the store holds afterwards


@pytest.mark.parametrize("flags", [[], ["-I"], ["-E"], ["-X", "pycache_prefix="]])
def test_importing_never_leaves_bytecode_in_the_store(
    environments: "Environments", make_wheel: "MakeWheel", flags: list[str]
) -> None:
    made = environments.of(
        make_wheel("one", files={"one/__init__.py": "", "one/sub.py": "", "flat.py": ""}),
        make_wheel("two", files={"space/two.py": "", "two.pth": "import flat\n"}),
        make_wheel("three", files={"space/three.py": ""}),
    )
    made.python("import one.sub, flat, space.two, space.three", *flags)
    assert environments.in_store("__pycache__") == []
    assert environments.in_store("*.pyc") == []
    assert verify(environments.store, contents=True) == []


def test_console_script_leaves_no_bytecode_in_the_store(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    points = {"console_scripts": {"run": "one:main"}}
    made = environments.of(make_wheel("one", files={"one.py": MAIN}, entry_points=points))
    made.run("run")
    assert environments.in_store("__pycache__") == []


def test_only_launchers_and_the_hook_name_this_machine(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    points = {"console_scripts": {"run": "one:main"}}
    made = environments.of(
        make_wheel(
            "one", entry_points=points, data={"scripts/a": "#!python\n", "data/share/a": ""}
        ),
        make_wheel("two", files={"space/a.py": ""}),
        make_wheel("three", files={"space/b.py": ""}),
    )
    root = environments.store.settings.root
    found = set()
    for folder, folders, files in os.walk(made.path):
        for name in (*folders, *files):
            path = Path(folder, name)
            told = os.readlink(path) if path.is_symlink() else ""
            if path.is_file() and not path.is_symlink():
                told = path.read_text()
            if root in told or (path.is_symlink() and told.startswith("/")):
                found.add(path.relative_to(made.path).as_posix())
    assert found == {"bin/run", "bin/a", f"{environments.site}/0-envtool.pth"}


def test_environment_refers_to_all_its_packages_and_the_interpreter(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(make_wheel("one"), make_wheel("two"))
    references = environments.store.info(made.output).references
    inputs = {made.made.output(path) for path in made.made.packages.values()}
    assert inputs <= references
    assert any(path.name.endswith("-host") for path in references)


def test_same_inputs_compose_the_same_bytes(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(make_wheel("one"), make_wheel("two", files={"one_more/a.py": ""}))
    before = nar.hash_path(str(made.path))
    assert before[0] == environments.store.info(made.output).nar_hash
    assert (
        nar.hash_path(
            str(
                environments.of(
                    make_wheel("one"), make_wheel("two", files={"one_more/a.py": ""})
                ).path
            )
        )
        == before
    )


# -- shared objects that look into a neighbour


@pytest.fixture
def neighbours(tmp_path: Path) -> tuple[bytes, bytes]:
    """Return a library that needs libtwo.so.2 from a neighbour's folder, and that one."""
    (tmp_path / "two.c").write_text("int two(void) { return 2; }\n")
    (tmp_path / "one.c").write_text("int two(void); int one(void) { return 1 + two(); }\n")
    for command in (
        "gcc -shared -fPIC two.c -o libtwo.so.2 -Wl,-soname,libtwo.so.2",
        "gcc -shared -fPIC one.c libtwo.so.2 -o one.so -Wl,-rpath,$ORIGIN/../../two.libs",
    ):
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    return (tmp_path / "one.so").read_bytes(), (tmp_path / "libtwo.so.2").read_bytes()


@pytest.mark.programs("gcc")
def test_library_that_climbs_into_another_wheel_finds_it(
    environments: "Environments", make_wheel: "MakeWheel", neighbours: tuple[bytes, bytes]
) -> None:
    one, two = neighbours
    files = {"one/__init__.py": b"", "one/deep/one.so": one, "one/deep/more/a.py": b""}
    made = environments.of(
        make_wheel("one", files=files),
        make_wheel("two", files={"two.libs/libtwo.so.2": two}),
    )
    code = (
        "import ctypes, one, os\n"
        "print(ctypes.CDLL(os.path.dirname(one.__file__) + '/deep/one.so').one())"
    )
    assert made.python(code) == "3"
    deep = site_of(environments, made) / "one/deep"
    assert not deep.is_symlink()
    assert (deep / "more").is_symlink()


@pytest.mark.programs("gcc")
def test_library_that_stays_in_its_wheel_keeps_its_folder_one_link(
    environments: "Environments", make_wheel: "MakeWheel", neighbours: tuple[bytes, bytes]
) -> None:
    one, two = neighbours
    files = {"one/deep/one.so": one, "two.libs/libtwo.so.2": two}
    made = environments.of(make_wheel("one", files=files))
    path = site_of(environments, made) / "one"
    assert path.is_symlink()
    assert made.python(
        f"import ctypes; print(ctypes.CDLL({str(path)!r} + '/deep/one.so').one())"
    ) == ("3")


def test_environment_of_nothing_is_a_python(environments: "Environments") -> None:
    made = environments.of()
    assert made.python("import sys; print(sys.version_info[:2])") == str(sys.version_info[:2])
