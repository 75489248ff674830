"""Enter a system root: /usr, /bin, /lib and what packages have in /etc and /var come from it.

All else stays the host's: home, projects, /tmp, /dev, /run, the network. The process stays the same
and so does its user. The host's own root is seen at `/.host`; to there lead the links for files of
/etc that belong to the machine or its administrator, so that a change of them is seen.

    /        a tmpfs, read-only
    /usr     <store>/…-system/usr
    /bin     -> usr/bin, and so on, as in the system root
    /etc     links: fonts -> <store>/…-system/etc/fonts, resolv.conf -> /.host/etc/resolv.conf
    /var     the host's, but for folders of lib and cache that the system root has
    /home …  the host's
    /.envtool/bin/envtool   the host's envtool, which leaves all that again (`leaving`)

In a user namespace the only user is the caller, so that setuid programs such as sudo do not work
inside, and files of others belong to nobody.
"""

import os
import sys
from typing import NoReturn

import envtool
from envtool.errors import SandboxError
from envtool.machine.isolating import leaving
from envtool.machine.isolating.namespaces import NEW_MOUNTS, Root, unshare
from envtool.machine.isolating.sandbox import View

__all__ = ["HOST", "PROGRAM", "become", "enter_system", "is_entered", "views_of"]

HOST = leaving.HOST
PROGRAM = "/.envtool/bin/envtool"
_OVER = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "var"})
_MACHINE = frozenset(
    {
        *("adjtime", "fstab", "group", "gshadow", "hostname", "hosts", "localtime", "machine-id"),
        *("mtab", "nsswitch.conf", "passwd", "resolv.conf", "shadow", "subgid", "subuid"),
        *("sudoers", "sudoers.d", "timezone", "krb5.conf", "ssh", "gitconfig", "environment"),
    }
)
"""Names of /etc that are the machine's: who its users are, where its network is."""
_SHARED = ("lib", "cache")
"""Folders of /var in which each name is one package's."""


def is_entered(system: str) -> bool:
    """Say whether this process is in the system root already, which lies at a physical path."""
    try:
        return os.path.exists(HOST) and os.path.samefile("/usr", f"{system}/usr")
    except OSError:
        return False


def enter_system(system: str, python: str | None = None) -> None:
    """Move this process into the system root at a physical path; the working folder stays.

    `python` is one that runs inside; by it envtool can be started there.

    :raises SandboxError: the kernel denies namespaces, naming the setting; or the root lies where
        it would hide itself.
    """
    if is_entered(system):
        return
    system = os.path.realpath(system)
    if system.split("/")[1] in _OVER - {"var"}:
        raise SandboxError(
            f"{system} lies below /{system.split('/')[1]}, which it is to replace",
            hint="choose another root: ENVTOOL_ROOT",
        )
    folder = os.getcwd()
    program = None if python is None else _leaving(python)
    unshare(NEW_MOUNTS)
    root = Root()
    host = {entry.name: entry for entry in os.scandir(Root.HOST)}
    for name, entry in host.items():
        if name not in _OVER and f"/{name}" != HOST:
            _keep(root, entry)
    for name in sorted(_OVER - {"etc", "var"}):
        place = f"{Root.HOST}{system}/{name}"
        if os.path.islink(place):
            root.link(os.readlink(place), f"/{name}")
        elif os.path.isdir(place):
            root.show(f"{system}/{name}", f"/{name}")
    _fill_etc(root, system)
    _fill_var(root, system)
    # Through the links too nothing of it can be written, by whatever superuser.
    root.show(system)
    root.show("/", HOST, writable=True)
    if program is not None:
        root.write(PROGRAM, program)
        os.chmod(root.target(PROGRAM), 0o755)  # noqa: S103 - a program
    root.enter(read_only=True)
    try:
        os.chdir(folder)
    except OSError:  # it was in what is another now, such as /usr/src
        os.chdir("/")


def become(system: str, *words: str) -> NoReturn:
    """Become a program, given by its path, in a system root, with the variables as they are."""
    enter_system(system, words[0])
    os.execv(words[0], words)  # noqa: S606 - becoming it is the purpose


def _leaving(python: str) -> str:
    """Return the text of the program by which the host's envtool is reached from inside."""
    with open(leaving.__file__, encoding="utf-8") as file:
        text = file.read()
    package = os.path.dirname(os.path.dirname(envtool.__file__))
    start = f"import sys; sys.path.insert(0, {package!r}); from envtool.cli import main; "
    words = [sys.executable, "-c", f"{start}sys.exit(main())"]
    return f"#!{python} -IS\n{text}\n\nleave([*{words!r}, *sys.argv[1:]], os.getcwd())\n"


def views_of(system: str) -> tuple[View, ...]:
    """Return what an otherwise empty root sees of a system root at a physical path."""
    places = [name for name in sorted(_OVER - {"etc", "var"}) if os.path.exists(f"{system}/{name}")]
    for folder, hidden in (("etc", _MACHINE), ("var/lib", ()), ("var/cache", ())):
        places += [
            f"{folder}/{name}" for name in sorted(set(_names(f"{system}/{folder}")) - {*hidden})
        ]
    return tuple(View(f"{system}/{place}", f"/{place}") for place in places)


def _keep(root: Root, entry: "os.DirEntry[str]") -> None:
    if entry.is_symlink():
        root.link(os.readlink(entry.path), f"/{entry.name}")
    elif entry.is_dir():
        root.show(f"/{entry.name}", writable=True)


def _fill_etc(root: Root, system: str) -> None:
    """Link each name of /etc to the system root's or the host's."""
    root.folder("/etc")
    theirs = set(_names(f"{Root.HOST}/etc"))
    ours = {name for name in _names(f"{Root.HOST}{system}/etc") if name not in theirs & _MACHINE}
    for name in ours:
        os.symlink(f"{system}/etc/{name}", root.target(f"/etc/{name}"))
    for name in theirs - ours:
        os.symlink(_on_host(f"/etc/{name}"), root.target(f"/etc/{name}"))


def _on_host(path: str) -> str:
    """Return where a link leads that means a file of the host, seen from inside."""
    place = f"{Root.HOST}{path}"
    if os.path.islink(place) and os.readlink(place).startswith("/"):
        return f"{HOST}{os.readlink(place)}"
    return f"{HOST}{path}"


def _fill_var(root: Root, system: str) -> None:
    """Show the host's /var, and in lib and cache what packages of the system root have there."""
    root.folder("/var")
    for entry in os.scandir(f"{Root.HOST}/var"):
        if entry.name in _SHARED:
            continue
        if entry.is_symlink():
            root.link(os.readlink(entry.path), f"/var/{entry.name}")
        elif entry.is_dir():
            root.show(f"/var/{entry.name}", writable=True)
    for shared in _SHARED:
        root.folder(f"/var/{shared}")
        ours = _names(f"{Root.HOST}{system}/var/{shared}")
        for name in ours:
            to = f"{system}/var/{shared}/{name}"
            os.symlink(to, root.target(f"/var/{shared}/{name}"))
        for name in set(_names(f"{Root.HOST}/var/{shared}")) - set(ours):
            place = f"/var/{shared}/{name}"
            if f"{system}/".startswith(f"{place}/"):
                root.show(place, writable=True)
            else:
                os.symlink(_on_host(place), root.target(place))


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
