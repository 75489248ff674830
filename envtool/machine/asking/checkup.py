"""A look at the machine: whether it has what envtool stands on, and what to do where it has not.

Nothing is changed; what is tried on the root's file system is tried in a folder that goes again.
"""

import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from typing import Literal

from envtool.errors import EnvtoolError, SandboxError
from envtool.machine.settings import Settings
from envtool.values import value

__all__ = ["Finding", "Level", "check_disk", "check_host", "check_network", "check_store"]

Level = Literal["ok", "note", "warning", "error"]
_LOW = 2 << 30
"""Bytes below which a disk is soon full: two environments of a data scientist."""
_FEW = 50_000
"""Inodes; an environment of a data scientist's wheels takes half of them."""
_SPARED = {
    "hard links": "identical files are stored more than once",
    "extended attributes": "nothing in a store needs them",
}
"""What a store can do without, and what that means."""
_READ_ONLY = 0o555
"""The mode of programs in the store."""
_SHELLS = ("bash", "zsh", "fish")
_BUILT = 1_735_689_600
"""The start of 2025: a clock before that is wrong, and no certificate is valid yet."""
_PATIENCE = 5.0
_ELSEWHERE = "export ENVTOOL_ROOT=/a/directory/of/yours"


@value
class Finding:
    """What was looked at and how it is."""

    subject: str
    level: Level
    text: str
    remedy: str | None = None
    """The next command, or setting; None where nothing is to be done."""


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Look at the root's place: may it be written to, how much is free, what can it do."""
    place = _existing(settings.root)
    exists = os.path.isdir(settings.root)
    if not os.path.isdir(place) or not os.access(place, os.W_OK | os.X_OK):
        why = "is not yours to write to" if os.path.isdir(place) else "is no folder"
        text = f"{settings.root} cannot be written to: {place} {why}"
        yield Finding("root", "error", text, _ELSEWHERE)
        return
    made = "" if exists else ", which is made at first use"
    yield Finding("root", "ok", f"{settings.root}{made}")
    free = shutil.disk_usage(place).free
    inodes = os.statvfs(place).f_favail
    told = f"{free / 1e9:.1f} GB free"
    if free < _LOW:
        yield Finding("disk space", "warning", told, "envtool gc --older-than 30d")
    elif 0 < inodes < _FEW:
        yield Finding("disk space", "warning", f"{told}, but only {inodes} inodes", "envtool gc")
    else:
        yield Finding("disk space", "ok", told)
    yield from _check_features(place)


def _check_features(place: str) -> Iterator[Finding]:
    with suppress(OSError):
        if os.statvfs(place).f_flag & os.ST_NOEXEC:
            text = f"{place} is mounted noexec: no program in it can be started"
            yield Finding("file system", "error", text, _ELSEWHERE)
            return
    try:
        with tempfile.TemporaryDirectory(prefix=".envtool-doctor-", dir=place) as folder:
            lacking = [name for name, has in _features(folder) if not has]
    except OSError as error:
        yield Finding("file system", "error", f"{place}: {error.strerror}", _ELSEWHERE)
        return
    if not lacking:
        had = "symlinks, hard links, modes, case, locks, extended attributes"
        yield Finding("file system", "ok", had)
    elif set(lacking) <= _SPARED.keys():
        text = "; ".join(f"no {each}: {_SPARED[each]}" for each in lacking)
        yield Finding("file system", "note", text)
    else:
        text = f"{place} lacks {', '.join(lacking)}"
        yield Finding("file system", "error", text, _ELSEWHERE)


def _features(folder: str) -> Iterator[tuple[str, bool]]:
    """Yield what a store stands on and whether it is there."""
    file = f"{folder}/a"
    with open(file, "wb") as stream:
        stream.write(b"#!/bin/sh\n")
    yield "symlinks", _works(lambda: os.symlink("a", f"{folder}/link"))
    yield "hard links", _works(lambda: os.link(file, f"{folder}/second"))
    os.chmod(file, _READ_ONLY)
    yield "modes", stat.S_IMODE(os.stat(file).st_mode) == _READ_ONLY
    yield "upper and lower case", not os.path.exists(f"{folder}/A")
    yield "locks", _locks(f"{folder}/lock")
    yield "extended attributes", _works(lambda: os.setxattr(f"{folder}/lock", "user.envtool", b"a"))


def _works(call: "object") -> bool:
    assert callable(call)
    try:
        call()
    except OSError:
        return False
    return True


def _locks(path: str) -> bool:
    import fcntl

    with open(path, "wb") as stream:
        return _works(lambda: fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB))


def check_host(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at what is around: namespaces, clock, locale, shells, PATH, Python."""
    yield _check_sandbox(settings)
    yield _check_clock()
    yield _check_locale()
    yield _check_shells(environ)
    yield from _check_path(environ)
    yield _check_python(environ)


def _check_sandbox(settings: Settings) -> Finding:
    from envtool.machine.isolating.sandbox import require

    if settings.sandbox == "off":
        return Finding("namespaces", "note", "ENVTOOL_SANDBOX=off: builds run without a sandbox")
    try:
        program = require(settings.path)
    except SandboxError as error:
        return Finding("namespaces", "warning", error.message, error.hint)
    return Finding("namespaces", "ok", f"{program} makes a sandbox")


def _check_clock() -> Finding:
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < _BUILT:
        return Finding("clock", "error", f"it is {shown} here: certificates will not be valid")
    return Finding("clock", "ok", shown)


def _check_locale() -> Finding:
    encoding = sys.getfilesystemencoding()
    if encoding.lower().replace("-", "") != "utf8":
        text = f"names of files are {encoding}, not UTF-8"
        return Finding("locale", "error", text, "export LC_ALL=C.UTF-8")
    return Finding("locale", "ok", "UTF-8")


def _check_shells(environ: Mapping[str, str]) -> Finding:
    path = environ.get("PATH", os.defpath)
    found = [name for name in _SHELLS if shutil.which(name, path=path)]
    own = os.path.basename(environ.get("SHELL", ""))
    if not found:
        text = f"none of {', '.join(_SHELLS)} is on PATH: `envtool shell` needs one"
        return Finding("shells", "warning", text, "apt install bash")
    if own and own not in _SHELLS:
        text = f"$SHELL is {own}, which envtool cannot lead; there is {', '.join(found)}"
        return Finding("shells", "note", text)
    return Finding("shells", "ok", ", ".join(found))


def _check_path(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look for folders that depend on where one stands, and for programs that come first."""
    entries = environ.get("PATH", "").split(":")
    loose = [entry or "(empty)" for entry in entries if not os.path.isabs(entry)]
    if loose:
        text = f"entries that depend on the working directory: {', '.join(loose)}"
        yield Finding("PATH", "warning", text, "leave them out of PATH")
        return
    environment = environ.get("ENVTOOL_ENVIRONMENT")
    if environment and entries[0] != f"{environment}/bin":
        text = f"in an envtool shell, but {entries[0]} comes before the environment's programs"
        yield Finding(
            "PATH", "warning", text, "look for lines in the shell's rc file that set PATH"
        )
        return
    found = shutil.which("envtool", path=environ.get("PATH"))
    if found is None:
        text = "envtool itself is not on PATH"
        yield Finding("PATH", "note", text, "pipx install '.[jupyter]', in envtool's clone")
    else:
        yield Finding("PATH", "ok", f"envtool is {found}")


def _check_python(environ: Mapping[str, str]) -> Finding:
    from envtool.sources.interpreter import find

    try:
        found = find(None, prefer=None, environ=environ, cache_path=None)
    except EnvtoolError as error:
        return Finding("Python", "warning", error.message, error.hint)
    return Finding("Python", "ok", f"{found.version} of the host, {found.executable}")


def check_store(settings: Settings) -> Iterator[Finding]:
    """Look at the store: does its database open, which roots lead nowhere."""
    from envtool.machine.database import Database

    if not os.path.exists(settings.database):
        yield Finding("store", "note", "none yet; the first `envtool switch` makes it")
        return
    try:
        with closing(Database(settings.database)) as database, database.reading() as connection:
            assert connection is not None, "the file is there"
            [(count, size)] = connection.execute(
                "SELECT count(*), coalesce(sum(narSize), 0) FROM ValidPaths"
            )
            [(state,), *_] = connection.execute("PRAGMA quick_check(1)")
    except EnvtoolError as error:
        yield Finding(
            "store", "error", error.message, error.hint or "envtool store verify --repair"
        )
        return
    if state == "ok":
        told = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"  # noqa: PLR2004
        yield Finding("store", "ok", f"{count} paths, {told}")
    else:
        text = f"the database is damaged: {state}"
        yield Finding("store", "error", text, "envtool store verify --repair")
    yield _check_roots(settings)


def _check_roots(settings: Settings) -> Finding:
    from envtool.machine.collecting.retention import forget_gone
    from envtool.machine.collecting.roots import stale

    links = stale(settings)
    if links:
        more = f" and {len(links) - 1} more" if links[1:] else ""
        text = f"roots whose link is gone keep nothing any more: {links[0]}{more}"
        return Finding("roots", "note", text, "envtool gc")
    gone = {each.declaration for each in forget_gone(settings, dry_run=True)}
    if not gone:
        return Finding("roots", "ok", "every link and every declaration with generations is there")
    first, *others = sorted(gone)
    text = f"generations of declarations that are gone: {first}"
    if others:
        text += f" and {len(others)} more"
    return Finding("roots", "note", text, "envtool gc --gone")


def check_network(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Ask the package index and Debian's mirrors for a page; 5 seconds each at most."""
    from envtool.machine.debian.mirrors import find_mirrors
    from envtool.machine.fetching.index import configured_index

    if settings.offline:
        yield Finding("network", "note", "offline was asked for; nothing was tried")
        return
    index = configured_index(environ)
    if index is None:
        yield Finding("index", "ok", "uv's default; nothing on this host names another")
    else:
        yield _ask("index", f"{index.rstrip('/')}/pip/", index)
    mirrors = find_mirrors(settings.debian_mirrors, settings.debian_past)
    try:
        base = mirrors.of("debian")[0]
    except EnvtoolError as error:
        yield Finding("Debian", "note", error.message, error.hint)
    else:
        yield _ask("Debian", f"{base}/dists/stable/InRelease", base)


def _ask(subject: str, url: str, named: str) -> Finding:
    from http import HTTPStatus
    from http.client import HTTPException

    from envtool.errors import FetchError
    from envtool.machine.fetching.addresses import parse_url, without_secrets
    from envtool.machine.fetching.http_connections import Connections

    shown = without_secrets(named)
    connections = Connections(timeout=_PATIENCE)
    started = time.monotonic()
    try:
        address = parse_url(url)
        if address.scheme == "file":
            there = os.path.exists(address.path)
            return Finding(subject, "ok" if there else "error", f"{shown} is on this disk")
        with connections.get(address, {}) as answer:
            status = answer.status
    except (OSError, HTTPException, FetchError) as error:
        text = f"{shown} does not answer: {getattr(error, 'message', error)}"
        return Finding(subject, "error", text, "envtool --offline works with what is in the store")
    finally:
        connections.sever()
    if status >= HTTPStatus.BAD_REQUEST:
        return Finding(subject, "error", f"{shown} answers {status}")
    return Finding(subject, "ok", f"{shown} answers in {time.monotonic() - started:.1f} s")


def _existing(path: str) -> str:
    """Return what is at a path, or the nearest above it that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path
