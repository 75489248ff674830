"""What differs between generations: packages, the interpreter, and packages of Debian."""

from typing import Any

from envtool.formats.changes import compare
from envtool.formats.debian.package import DebianPackage
from envtool.formats.ground import HOST, Deb, Ground, ground
from envtool.formats.locked import LockedLibrary, LockedSystem, Pins

GIT = Deb("git", "1:2.39", "system", direct=True)
LIBC = Deb("libc6", "2.36", "system", direct=False)
NEWER = Deb("libc6", "2.37", "system", direct=False)
OWN = Deb("libc6", "2.36", "interpreter", direct=False)


def debian(name: str, version: str = "1.0") -> DebianPackage:
    texts = ("sha256", "path", "archive", "suite", "component", "timestamp")
    fields: dict[str, Any] = dict.fromkeys(texts, "")
    return DebianPackage(name=name, version=version, architecture="amd64", size=1, **fields)


def test_debs_come_go_and_change_by_use() -> None:
    before, after = Ground("debian", (OWN, LIBC)), Ground("debian", (OWN, NEWER, GIT))
    found = compare((), (), ("3.11.2", "3.11.2"), (before, after))
    assert (found.debs_added, found.debs_removed) == ((GIT,), ())
    assert found.debs_changed == ((LIBC, NEWER),)
    assert found
    assert not found.has_other_python
    assert not compare((), (), ("3.11.2", "3.11.2"), (after, after))


def test_an_interpreter_from_elsewhere_is_another_one() -> None:
    found = compare((), (), ("3.11.2", "3.11.2"), (HOST, Ground("debian", (OWN,))))
    assert found.source == ("host", "debian")
    assert found.has_other_python
    assert found


def test_the_first_ground_is_all_new() -> None:
    found = compare((), (), (None, "3.11.2"), (None, Ground("debian", (OWN,))))
    assert found.source == (None, "debian")
    assert found.debs_added == (OWN,)


def test_what_a_lock_pins_is_known_by_its_use_and_whether_it_was_named() -> None:
    pins = Pins(
        (debian("python3.11"),), None, (LockedLibrary(debian("libgl1"), ("cv libGL.so.1",)),)
    )
    system = LockedSystem(("git (>= 1:2)",), (), (debian("git"), debian("libc6")))
    found = ground(pins, system)
    assert [(each.name, each.use, each.direct) for each in found.debs] == [
        ("python3.11", "interpreter", False),
        ("libgl1", "library", False),
        ("git", "system", True),
        ("libc6", "system", False),
    ]
    assert found.source == "debian"
    assert [each.name for each in found.without_libraries().debs] == ["python3.11", "git", "libc6"]
    assert ground(Pins(), None) == HOST
