"""Pieces of a lock's text are what the lock says of the packages."""

from envtool.formats import lock_blocks as blocks
from envtool.formats.lock import parse, render
from envtool.formats.locked import Artifact, BuildRequirements, Lock, LockedPackage, LockedPython
from envtool.values import replace


def wheel(name: str) -> Artifact:
    filename = f"{name}-1.0-py3-none-any.whl"
    return Artifact(filename, f"https://example.org/{filename}", None, 1, "0" * 64)


def package(name: str, *dependencies: str) -> LockedPackage:
    return LockedPackage(name, "1.0", None, (wheel(name),), dependencies=dependencies)


LOCK = Lock(
    LockedPython("3.11", "cpython", "x86_64-manylinux_2_40"),
    (package("app", "lib", "lib-more"), package("lib"), package("lib-more", "lib")),
    (),
    "sha256-x",
)
TEXT = render(LOCK)


def test_versions_and_dependants_are_those_of_the_lock() -> None:
    assert blocks.versions(TEXT) == {"app": "1.0", "lib": "1.0", "lib-more": "1.0"}
    assert blocks.dependants(TEXT, "lib") == ("app", "lib-more")
    assert blocks.dependants(TEXT, "app") == ()


def test_a_piece_is_found_whole_wherever_it_stands() -> None:
    pieces = [blocks.find_block(TEXT, each.name) for each in LOCK.packages]
    assert "\n\n".join(piece or "" for piece in pieces) + "\n" == TEXT[TEXT.index("[[pack") :]
    assert blocks.find_block(TEXT, "li") is None
    assert list(blocks.pieces(TEXT).values()) == pieces
    assert [blocks.required(piece or "") for piece in pieces] == [("lib", "lib-more"), (), ("lib",)]


def test_a_lock_with_another_piece_is_the_lock_of_the_other_package() -> None:
    newer = replace(package("lib-more", "lib"), version="2.0")
    other = render(replace(LOCK, packages=(*LOCK.packages[:2], newer)))
    old, new = blocks.find_block(TEXT, "lib-more"), blocks.find_block(other, "lib-more")
    assert old
    assert new
    assert blocks.replace_block(TEXT, old, new) == other
    assert parse(other, path="pylock.toml").packages[2].version == "2.0"


def test_what_is_built_is_not_plain() -> None:
    built = replace(package("lib"), wheels=(), sdist=wheel("lib"))
    with_sdist = replace(LOCK, packages=(built,), builds=(BuildRequirements("lib", ()),))
    assert blocks.is_plain(TEXT)
    assert not blocks.is_plain(render(with_sdist))


def test_a_wheel_that_lies_here_is_not_plain() -> None:
    for name in ("lib-1.0-py3-none-any.whl", "elsewhere.whl"):
        here = replace(wheel("lib"), url=None, path=f"wheels/{name}")
        lock = replace(LOCK, packages=(replace(package("lib"), wheels=(here,)),))
        assert not blocks.is_plain(render(lock))


def test_markers_are_seen() -> None:
    marked = replace(package("lib"), marker="os_name == 'nt'")
    piece = blocks.find_block(render(replace(LOCK, packages=(marked,))), "lib")
    assert piece is not None
    assert blocks.has_marker(piece)
    assert not blocks.has_marker(blocks.find_block(TEXT, "lib") or "")


def test_another_layout_is_not_read() -> None:
    assert blocks.versions(TEXT.replace('name = "lib"\nversion = "1.0"', 'name = "lib"', 1)) is None
    assert blocks.versions(TEXT + TEXT) is None
