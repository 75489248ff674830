"""Locks: what is written is read back, every fault is named, the fitting artifact is taken."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import LockError
from envtool.formats.debian.package import DebianPackage
from envtool.formats.ground import ground, read_ground
from envtool.formats.lock import (
    Artifact,
    BuildRequirements,
    Directory,
    Lock,
    LockedLibrary,
    LockedPackage,
    LockedPython,
    LockedSystem,
    Pins,
    Vcs,
    parse,
    render,
    select,
)
from envtool.formats.lock_head import read_head, read_pinned, read_system
from envtool.formats.standalone import StandaloneArchive
from envtool.values import replace

SHA = "0123456789abcdef" * 4
PYTHON = LockedPython("3.11", "cpython", "x86_64-manylinux_2_40")
ENVIRONMENT = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux"}
TAGS = (
    "cp311-cp311-linux_x86_64",
    "cp311-cp311-manylinux_2_31_x86_64",
    "cp311-cp311-manylinux_2_17_x86_64",
    "cp311-cp311-manylinux2014_x86_64",
    "cp311-abi3-manylinux_2_17_x86_64",
    "py3-none-any",
)


def artifact(filename: str, **changes: Any) -> Artifact:
    plain = Artifact(filename, f"https://example.org/files/{filename}", None, 10, SHA)
    return replace(plain, **changes)


def wheels(name: str, *tags: str, version: str = "1.0") -> LockedPackage:
    found = tuple(artifact(f"{name}-{version}-{tag}.whl") for tag in tags)
    return LockedPackage(name, version, None, wheels=found)


def lock_of(*packages: LockedPackage, builds: tuple[BuildRequirements, ...] = ()) -> Lock:
    return Lock(PYTHON, packages, builds, "sha256-of-the-declaration")


EVERY_SOURCE = lock_of(
    LockedPackage("archived", "1", None, archive=artifact("a.tar.gz", url=None, path="a.tar.gz")),
    LockedPackage("checkout", None, None, vcs=Vcs("git", "https://example.org/r", "c" * 40, "sub")),
    LockedPackage("here", None, None, directory=Directory(".", editable=True), direct=True),
    LockedPackage(
        "many",
        "1.0",
        "python_full_version < '3.12' and extra == 'x\"y'",
        wheels=wheels("many", "cp311-cp311-linux_x86_64", "py3-none-any").wheels,
        sdist=artifact("renamed.tar.gz", url="https://example.org/download?id=3", size=None),
        dependencies=("archived", "here"),
    ),
    builds=(BuildRequirements("here", (wheels("setuptools", "py3-none-any"),)),),
)

FOREIGN = f"""
lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.12.1"

[[packages]]
name = "dep"
version = "1.0"
sdist = {{ url = "https://example.org/dep-1.0.tar.gz", hashes = {{ sha256 = "{SHA}" }} }}
wheels = [{{ url = "https://example.org/a%2Bb-1.0-py3-none-any.whl", upload-time = \
2024-01-01T00:00:00Z, size = 3, hashes = {{ sha256 = "{SHA.upper()}" }} }}]
"""


def test_every_kind_of_source_is_read_back() -> None:
    assert parse(render(EVERY_SOURCE), path="pylock.toml") == EVERY_SOURCE


DEBIAN = DebianPackage(
    name="python3.11",
    version="3.11.2-6+deb12u8",
    architecture="amd64",
    size=573024,
    sha256=SHA,
    path="pool/main/p/python3.11/python3.11_3.11.2-6+deb12u8_amd64.deb",
    archive="debian",
    suite="bookworm",
    component="main",
    timestamp="20260912T075541Z",
)
CLOSED = replace(EVERY_SOURCE, python=replace(PYTHON, pins=Pins((DEBIAN, replace(DEBIAN)))))


def test_what_an_interpreter_of_debian_is_made_of_is_read_back() -> None:
    text = render(CLOSED)

    assert parse(text, path="pylock.toml") == CLOSED
    assert read_head(text, "pylock.toml").source == "debian"
    assert read_pinned(text, "pylock.toml") == CLOSED.python.pins


STANDALONE = replace(
    CLOSED,
    python=replace(
        PYTHON,
        pins=Pins(
            (replace(DEBIAN, name="libc6"),),
            StandaloneArchive("3.11.9", "https://example.org/20260101/cpython-3.11.9.tar.gz", SHA),
        ),
    ),
)


def test_an_archive_of_python_build_standalone_is_read_back() -> None:
    text = render(STANDALONE)

    assert parse(text, path="pylock.toml") == STANDALONE
    assert read_head(text, "pylock.toml").source == "standalone"
    assert read_pinned(text, "pylock.toml") == STANDALONE.python.pins


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('archive = { version = "3.11.9"', 'archive = { version = "3.11"', "version is '3.11'"),
        ("https://example.org/2026", "file:///etc/2026", "archive: url is 'file:///etc"),
        ("https://example.org/20260101/", "https://example.org/", "archive: url is"),
        (f'.tar.gz", sha256 = "{SHA}"', '.tar.gz", sha256 = "0"', "archive: sha256 is '0'"),
        ("archive = { version", "other = { version", "archive: version is None"),
        ('source = "standalone"', 'source = "stand"', "expected host, debian or standalone"),
    ],
)
def test_a_fault_in_the_pinned_archive_is_named(old: str, new: str, words: str) -> None:
    text = render(STANDALONE)
    assert old in text

    with pytest.raises(LockError, match=re.escape(words)):
        parse(text.replace(old, new), path="pylock.toml")


def test_what_a_system_root_is_made_of_is_read_back() -> None:
    system = LockedSystem(("git (>= 2)",), ("dbus",), (DEBIAN, replace(DEBIAN, name="git")))
    for lock in (replace(CLOSED, system=system), replace(EVERY_SOURCE, system=system)):
        text = render(lock)
        assert parse(text, path="pylock.toml") == lock
        assert read_system(text, "pylock.toml") == system
        assert read_ground(text, "pylock.toml") == ground(lock.python.pins, system)
        moved = text.replace("[tool.envtool.debian]", "[tool.envtool.debian] # ours")
        assert read_system(moved, "pylock.toml") in (system, None)
    assert read_system(render(CLOSED), "pylock.toml") is None


def test_the_pins_of_debian_are_found_in_a_lock_of_another_layout() -> None:
    moved = render(CLOSED).replace("[tool.envtool.debian]", "[tool.envtool.'debian']")

    assert read_pinned(moved, "pylock.toml") == CLOSED.python.pins
    assert read_ground(moved, "pylock.toml") == ground(CLOSED.python.pins, None)


COMPLETE = replace(
    CLOSED,
    python=replace(
        PYTHON,
        pins=Pins(
            (DEBIAN,),
            libraries=(
                LockedLibrary(replace(DEBIAN, name="libgl1"), ("a libGL.so.1", "b libGL.so.1")),
                LockedLibrary(replace(DEBIAN, name="libglx0"), ("libgl1 libGLX.so.0",)),
            ),
            inheriting=("a", "b"),
            programs=("a", "c"),
            headers=(replace(DEBIAN, name="libpython3.11-dev"),),
        ),
    ),
)


def test_libraries_that_wheels_need_are_read_back() -> None:
    text = render(COMPLETE)
    assert parse(text, path="pylock.toml") == COMPLETE
    assert read_pinned(text, "pylock.toml") == COMPLETE.python.pins
    moved = text.replace("[tool.envtool.debian]", "[tool.envtool.'debian']")
    assert read_pinned(moved, "pylock.toml") == COMPLETE.python.pins


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('asked = ["libgl1 libGLX.so.0"]', "asked = 3", "asked is not an array of texts"),
        ('inheriting = [\n    "a",', "inheriting = [\n    7,", "inheriting is not an array"),
        ("libraries = [", "libraries = 7\nother = [", "libraries is not an array of tables"),
        ('name = "libgl1"', 'name = "/"', "name is '/'"),
    ],
)
def test_a_fault_in_the_libraries_is_named(old: str, new: str, words: str) -> None:
    text = render(COMPLETE)
    assert old in text
    with pytest.raises(LockError, match=re.escape(words)):
        parse(text.replace(old, new, 1), path="pylock.toml")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("pool/main", "../pool/main", "python3.11: path is '../pool/main"),
        ('timestamp = "2026', 'timestamp = "26', "timestamp is '26"),
        ("size = 573024", "size = -1", "size is -1"),
        (f'sha256 = "{SHA}", path = ', 'sha256 = "0", path = ', "sha256 is '0'"),
        ('name = "python3.11", ', "", "a package without name: name is missing"),
        ("interpreter = [", "other = [", "interpreter names no packages"),
    ],
)
def test_a_fault_in_the_pins_of_debian_is_named(old: str, new: str, words: str) -> None:
    text = render(CLOSED)
    assert old in text

    with pytest.raises(LockError, match=re.escape(words)):
        parse(text.replace(old, new), path="pylock.toml")
    with pytest.raises(LockError, match=re.escape(words)):
        read_pinned(text.replace(old, new), "pylock.toml")


def test_rendering_what_was_parsed_gives_the_same_bytes() -> None:
    text = render(EVERY_SOURCE)

    assert render(parse(text, path="pylock.toml")) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_survives_its_quoting(text: str) -> None:
    lock = lock_of(LockedPackage("a", text, text, directory=Directory(text, editable=False)))

    assert parse(render(lock), path="p") == lock


def test_the_order_of_packages_in_memory_does_not_change_the_bytes() -> None:
    backwards = lock_of(*reversed(EVERY_SOURCE.packages), builds=EVERY_SOURCE.builds)

    assert render(backwards) == render(EVERY_SOURCE)


def test_every_artifact_and_dependency_stands_on_its_own_line() -> None:
    lines = render(EVERY_SOURCE).splitlines()

    assert max(line.count("sha256") for line in lines) == 1
    assert '    { name = "here" },' in lines


def test_the_lock_says_for_other_tools_where_it_applies() -> None:
    document = tomllib.loads(render(EVERY_SOURCE))

    assert document["created-by"] == "envtool"
    assert document["requires-python"] == "==3.11.*"
    assert document["environments"] == ["sys_platform == 'linux' and platform_machine == 'x86_64'"]


def test_another_tools_lock_is_read_without_ours() -> None:
    lock = parse(FOREIGN, path="pylock.toml")

    assert lock.python == LockedPython("3.12", "cpython", "")
    assert lock.declaration == ""
    assert lock.packages[0].wheels[0].filename == "a+b-1.0-py3-none-any.whl"
    assert lock.packages[0].wheels[0].sha256 == SHA


def test_another_tools_lock_that_names_no_python_says_how_to_make_ours() -> None:
    with pytest.raises(LockError, match="which Python") as caught:
        parse(FOREIGN.replace('requires-python = ">=3.12.1"', ""), path="pylock.toml")

    assert caught.value.hint == "envtool lock"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('lock-version = "1.0"', 'lock-version = "2.0"', "lock-version is '2.0'"),
        ('lock-version = "1.0"', "", "lock-version is missing"),
        ('lock-version = "1.0"', "<<<<<<< ours", "conflict markers"),
        ('lock-version = "1.0"', "lock-version", "not TOML"),
        (f'sha256 = "{SHA}"', 'md5 = "00"', "dep: sdist: hashes.sha256 is missing"),
        (SHA, "g" * 64, "hashes.sha256 is 'ggg"),
        (SHA, SHA[1:], "expected 64 hex digits"),
        ("size = 3", "size = -3", "size is -3"),
        ("size = 3", "size = true", "size is True"),
        ('name = "dep"', 'name = "D_ep"', "'D_ep' is not a normalised name"),
        ('name = "dep"', "", "name is missing"),
        ('version = "1.0"\ns', "s", "version is missing"),
        ("dep-1.0.tar.gz", "..", "'..' is no file name"),
        ("a%2Bb-1.0", "a%2Fb", "'a/b-py3-none-any.whl' is no file name"),
        ('url = "https://example.org/dep-1.0.tar.gz"', "x = 1", "neither url nor path"),
        ("[[packages]]", "[packages]", "packages is not an array of tables"),
        ('version = "1.0"\ns', 'version = "1.0"\ndirectory = { path = "." }\ns', "expected one of"),
        ('version = "1.0"\ns', 'version = "1.0"\ndependencies = [{ name = "x" }]\ns', "x is not l"),
    ],
)
def test_a_fault_is_named_with_its_place(old: str, new: str, complaint: str) -> None:
    assert old in FOREIGN
    text = FOREIGN.replace(old, new, 1)

    with pytest.raises(LockError) as caught:
        parse(text, path="pylock.toml")

    assert complaint in caught.value.message
    assert caught.value.message.startswith("pylock.toml: ")


def test_all_faults_are_reported_at_once() -> None:
    text = FOREIGN.replace("size = 3", "size = -1").replace(f'"{SHA}"', '"short"')

    with pytest.raises(LockError) as caught:
        parse(text, path="pylock.toml")

    assert len(caught.value.message.splitlines()) == 2


def chosen(lock: Lock, **environment: str) -> Mapping[str, str | None]:
    selection = select(lock, tags=TAGS, marker_environment=ENVIRONMENT | environment)
    return {package.name: None if found is None else found.filename for package, found in selection}


def test_the_wheel_with_the_best_tag_is_taken() -> None:
    package = wheels(
        "a",
        "py3-none-any",
        "cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "cp311-cp311-manylinux_2_34_x86_64",
    )

    taken = "a-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    assert chosen(lock_of(package)) == {"a": taken}


def test_among_equal_tags_the_higher_build_number_is_taken() -> None:
    package = wheels("a", "9-py3-none-any", "10-py3-none-any", "py3-none-any")

    assert chosen(lock_of(package)) == {"a": "a-1.0-10-py3-none-any.whl"}


def test_an_sdist_is_taken_only_when_no_wheel_fits() -> None:
    sdist = artifact("a-1.0.tar.gz")
    misfit = wheels("a", "cp312-cp312-linux_x86_64").wheels
    fit = wheels("b", "py3-none-any").wheels
    lock = lock_of(
        LockedPackage("a", "1.0", None, wheels=misfit, sdist=sdist),
        LockedPackage("b", "1.0", None, wheels=fit, sdist=sdist),
    )

    assert chosen(lock) == {"a": "a-1.0.tar.gz", "b": "b-1.0-py3-none-any.whl"}


def test_a_directory_has_no_artifact() -> None:
    directory = LockedPackage("here", None, None, directory=Directory(".", editable=True))

    assert chosen(lock_of(directory)) == {"here": None}


def test_a_package_whose_marker_does_not_hold_is_left_out() -> None:
    lock = lock_of(
        LockedPackage("a", "1", "python_version < '3.11'", directory=Directory("a", editable=True)),
        LockedPackage("b", "1", "sys_platform == 'linux'", directory=Directory("b", editable=True)),
    )

    assert list(chosen(lock)) == ["b"]


def test_a_marker_that_is_none_is_an_error() -> None:
    lock = lock_of(LockedPackage("a", "1", "moon == 'full'", directory=Directory("a", True)))

    with pytest.raises(LockError, match="marker of a"):
        chosen(lock)


def test_a_lock_for_another_python_is_refused() -> None:
    with pytest.raises(LockError, match=r"for Python 3\.11, the interpreter is 3\.12"):
        chosen(lock_of(wheels("a", "py3-none-any")), python_version="3.12")


def test_two_entries_that_apply_at_once_are_refused() -> None:
    package = wheels("a", "py3-none-any")

    with pytest.raises(LockError, match="two entries of a"):
        chosen(lock_of(package, package))


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (["cp311-cp311-manylinux_2_34_x86_64"], "need glibc 2.34, the interpreter has 2.31"),
        (
            ["cp311-cp311-manylinux_2_39_x86_64", "cp311-cp311-manylinux_2_34_x86_64"],
            "need glibc 2.34",
        ),
        (["cp312-cp312-linux_x86_64"], "are for cp312-cp312; the interpreter is cp311-cp311"),
        (["cp311-cp311-manylinux2014_aarch64"], "are for manylinux2014_aarch64; the interpreter"),
        (["cp311-cp311-win_amd64"], "are for win_amd64; the interpreter is x86_64"),
        (["nonsense"], "are for none"),
    ],
)
def test_a_package_that_does_not_fit_says_why(tags: list[str], reason: str) -> None:
    with pytest.raises(LockError) as caught:
        chosen(lock_of(wheels("a", *tags)))

    assert caught.value.message.startswith("a 1.0 has nothing that fits: ")
    assert reason in caught.value.message
    assert caught.value.hint is not None


def test_all_packages_that_do_not_fit_are_named() -> None:
    lock = lock_of(wheels("a", "cp312-cp312-any"), wheels("b", "cp312-cp312-any"))

    with pytest.raises(LockError) as caught:
        chosen(lock)

    assert [line.split()[0] for line in caught.value.message.splitlines()] == ["a", "b"]
