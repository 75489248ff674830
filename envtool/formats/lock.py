"""The lock: PEP 751 `pylock.toml`, with `[tool.envtool]` for what PEP 751 has no word for.

Ours and any other tool's pylock are read; only ours is written. One artifact and one dependency
stand on a line of their own, packages are sorted by name, and nothing of the moment (upload
times, the resolver's version) is kept, so that the same lock is the same bytes and a diff of two
locks reads as what changed.

`[tool.envtool]` stands before the packages: `declaration` (digest of what the lock answers),
`direct` (the names the declaration asks for itself) and the `python` table. After the packages
comes one `builds` table per source package with what its build back end needs, and at the end,
if the interpreter is one of our own, the `debian` table with the packages that it is made of
(`interpreter`), those with libraries that wheels need, with who asked for what (`libraries`), the
names of wheels whose libraries look where the interpreter does (`inheriting`) and of those with
programs that start by its loader (`programs`), and its C headers for what is built (`headers`).
The packages of a system root stand there, too (`system`).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from envtool.formats.declarations.toml_text import basic_string
from envtool.formats.lock_reader import parse
from envtool.formats.locked import (
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
    basename,
    package_order,
)
from envtool.formats.selection import select

if TYPE_CHECKING:
    from envtool.formats.debian.package import DebianPackage

__all__ = [
    "Artifact",
    "BuildRequirements",
    "Directory",
    "Lock",
    "LockedLibrary",
    "LockedPackage",
    "LockedPython",
    "LockedSystem",
    "Pins",
    "Vcs",
    "parse",
    "render",
    "select",
]


def _array(key: str, items: Iterable[str]) -> Iterator[str]:
    lines = [f"    {item}," for item in items]
    if lines:
        yield "\n".join([f"{key} = [", *lines, "]"])


def _inline(**entries: str | int | bool | Sequence[str] | None) -> str:
    parts = []
    for key, value in entries.items():
        if value is None or value is False:
            continue
        if isinstance(value, str):
            shown = basic_string(value)
        elif isinstance(value, int):
            shown = str(value).lower()
        else:
            shown = f"[{', '.join(map(basic_string, value))}]"
        parts.append(f"{key.replace('_', '-')} = {shown}")
    return f"{{ {', '.join(parts)} }}"


def _artifact(artifact: Artifact) -> str:
    location = artifact.url or artifact.path or ""
    name = None if basename(location) == artifact.filename else artifact.filename
    head = _inline(name=name, url=artifact.url, path=artifact.path, size=artifact.size)
    return f"{head[:-2]}, hashes = {_inline(sha256=artifact.sha256)} }}"


def _package(package: LockedPackage, header: str) -> str:
    lines = [header, f"name = {basic_string(package.name)}"]
    if package.version is not None:
        lines.append(f"version = {basic_string(package.version)}")
    if package.marker is not None:
        lines.append(f"marker = {basic_string(package.marker)}")
    lines += _array("dependencies", (_inline(name=name) for name in package.dependencies))
    if vcs := package.vcs:
        table = _inline(
            type=vcs.type, url=vcs.url, commit_id=vcs.commit_id, subdirectory=vcs.subdirectory
        )
        lines.append(f"vcs = {table}")
    if directory := package.directory:
        table = _inline(path=directory.path, editable=directory.editable)
        lines.append(f"directory = {table}")
    if package.archive is not None:
        lines.append(f"archive = {_artifact(package.archive)}")
    if package.sdist is not None:
        lines.append(f"sdist = {_artifact(package.sdist)}")
    lines += _array("wheels", map(_artifact, package.wheels))
    return "\n".join(lines)


def _head(python: LockedPython) -> str:
    lines = [
        'lock-version = "1.0"',
        'created-by = "envtool"',
        f"requires-python = {basic_string(f'=={python.version}.*')}",
    ]
    if python.platform:
        machine = python.platform.split("-")[0]
        marker = f"sys_platform == 'linux' and platform_machine == '{machine}'"
        lines.append(f"environments = [{basic_string(marker)}]")
    return "\n".join(lines)


def _ours(lock: Lock) -> str:
    direct = sorted({package.name for package in lock.packages if package.direct})
    lines = ["[tool.envtool]"]
    if lock.declaration:
        lines.append(f"declaration = {basic_string(lock.declaration)}")
    return "\n".join([*lines, *_array("direct", map(basic_string, direct))])


def _python(python: LockedPython) -> str:
    lines = [
        "[tool.envtool.python]",
        f"source = {basic_string(python.source)}",
        f"version = {basic_string(python.version)}",
        f"implementation = {basic_string(python.implementation)}",
        f"platform = {basic_string(python.platform)}",
    ]
    if python.pins.archive is not None:
        from envtool.formats.standalone import render_locked

        lines.append(f"archive = {_inline(**render_locked(python.pins.archive))}")
    return "\n".join(lines)


def _debian(lock: Lock) -> Iterator[str]:
    lines: list[str] = []
    pins = lock.python.pins
    if pins.packages:
        lines += _array("interpreter", map(_debian_package, pins.packages))
        lines += _array(
            "libraries", (_debian_package(each.package, each.asked) for each in pins.libraries)
        )
        lines += _array("inheriting", map(basic_string, pins.inheriting))
        lines += _array("programs", map(basic_string, pins.programs))
        lines += _array("headers", map(_debian_package, pins.headers))
    if lock.system is not None:
        lines += _array("requested", map(basic_string, lock.system.requested))
        lines += _array("allow-failures", map(basic_string, lock.system.allowed))
        lines += _array("system", map(_debian_package, lock.system.packages))
    if lines:
        yield "\n".join(["[tool.envtool.debian]", *lines])


def _debian_package(package: "DebianPackage", asked: tuple[str, ...] | None = None) -> str:
    from envtool.formats.debian.package import render_locked

    return _inline(**render_locked(package), asked=asked)


def _builds(builds: Sequence[BuildRequirements]) -> Iterator[str]:
    for build in sorted(builds, key=lambda build: build.package):
        yield f"[[tool.envtool.builds]]\npackage = {basic_string(build.package)}"
        for package in sorted(build.packages, key=package_order):
            yield _package(package, "[[tool.envtool.builds.packages]]")


def render(lock: Lock) -> str:
    """Return the text of a lock; `parse` gives the same lock back.

    Pure: the same lock is the same bytes. Ends in one newline.
    """
    packages = sorted(lock.packages, key=package_order)
    blocks = [
        # PEP 751 wants the key even when there is nothing under it.
        _head(lock.python) if packages else f"{_head(lock.python)}\npackages = []",
        _ours(lock),
        _python(lock.python),
        *(_package(package, "[[packages]]") for package in packages),
        *_builds(lock.builds),
        *_debian(lock),
    ]
    return "\n\n".join(blocks) + "\n"
