"""Who requires whom: Python packages, and packages of Debian that are there for their libraries."""

from collections.abc import Sequence

from envtool.formats.debian.package import DebianPackage
from envtool.formats.generation import Package
from envtool.formats.locked import LockedLibrary
from envtool.formats.requires import DECLARED, askers, chains, with_libraries


def package(name: str, *requires: str, direct: bool = False) -> Package:
    return Package(name=name, version="1", path=None, size=None, direct=direct, requires=requires)


def library(name: str, *asked: str) -> LockedLibrary:
    pinned = DebianPackage(
        name=name,
        version="2",
        architecture="amd64",
        size=1,
        sha256="0" * 64,
        path="pool/x.deb",
        archive="debian",
        suite="trixie",
        component="main",
        timestamp="20260101T000000Z",
    )
    return LockedLibrary(pinned, asked)


def why(name: str, packages: Sequence[Package], *libraries: LockedLibrary) -> list[tuple[str, ...]]:
    return chains(with_libraries(packages, libraries), name)


PACKAGES = [package("app", "cv", direct=True), package("cv")]
GL = library("libgl1", "cv libGL.so.1", "cv libOpenGL.so.0")
GLX = library("libglx0", "libgl1 libGLX.so.0")


def test_a_library_is_there_because_of_the_wheel_that_asked() -> None:
    assert why("libglx0", PACKAGES, GL, GLX) == [("app", "cv", "libgl1", "libglx0")]
    assert askers([GL, GLX]) == {
        ("cv", "libgl1"): ("libGL.so.1", "libOpenGL.so.0"),
        ("libgl1", "libglx0"): ("libGLX.so.0",),
    }


def test_a_library_that_the_declaration_names_is_asked_for_itself() -> None:
    assert why("libgl1", PACKAGES, library("libgl1", f"{DECLARED} libGL.so.1")) == [("libgl1",)]


def test_a_python_package_of_the_same_name_is_the_one_that_is_meant() -> None:
    packages = [package("app", "libgl1", direct=True), package("libgl1")]
    found = with_libraries(packages, [GL])
    assert [each.version for each in found if each.name == "libgl1"] == ["1"]
