"""The sandbox: a command in namespaces of its own, which sees only what it is given.

bubblewrap makes it (`bwrap(1)`): user, mount, pid, ipc, uts, cgroup and, unless asked otherwise,
network namespaces; no capabilities; a private /tmp, /dev and /proc; the user 1000 of the group
100, as in Nix's builds, whoever calls. When the caller ends, all that runs inside ends.
"""

import json
import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from typing import IO

from envtool.errors import SandboxError
from envtool.machine.isolating.seccomp import granting
from envtool.values import value

__all__ = [
    "HOME",
    "Sandbox",
    "View",
    "arguments",
    "explain_denial",
    "host_system",
    "require",
    "run",
]

HOME = "/homeless-shelter"
"""Does not exist inside, so that what asks for a home fails rather than leaks."""
USER, GROUP = 1000, 100
PASSWD = (
    "root:x:0:0:root:/homeless-shelter:/noshell\n"
    f"builder:x:{USER}:{GROUP}:builder:/homeless-shelter:/noshell\n"
    "nobody:x:65534:65534:nobody:/homeless-shelter:/noshell\n"
)
GROUPS = f"root:x:0:\nusers:x:{GROUP}:\nnogroup:x:65534:\n"
HOSTS = "127.0.0.1 localhost\n::1 localhost\n"

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYSTEM_FILES = (
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
)
_NAMESPACES = ("--unshare-all", "--unshare-user")
_TRY = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "true")


@value
class View:
    """A file or a folder of the host that is seen inside."""

    path: str
    inside: str | None = None
    """Where it is seen; None: where it lies."""
    writable: bool = False


@value
class Sandbox:
    """What a command finds. All paths are absolute."""

    views: tuple[View, ...]
    """Later ones lie over earlier ones."""
    environment: Mapping[str, str]
    """All variables that there are."""
    folder: str
    """The working folder, as seen inside."""
    network: bool = False
    root: str | None = None
    """A tree that is the root, to be written to. What runs is its superuser, in name alone."""


def host_system() -> tuple[View, ...]:
    """Return the views that programs of the host need: its libraries and tools, read-only.

    Links such as /lib -> usr/lib are made inside as they are outside. What the user or the
    administrator put elsewhere, /home, /opt, /root, /etc, stays out of sight.
    """
    places = [*_SYSTEM, *_SYSTEM_FILES]
    return tuple(View(place) for place in places if os.path.lexists(place))


@cache
def require(path: str) -> str:
    """Return the program of a bubblewrap that works here, looked for in `path` as in PATH.

    :raises SandboxError: there is none, or the kernel denies what it needs; names the setting.
    """
    from shutil import which

    found = which("bwrap", path=path)
    if found is None:
        raise SandboxError(
            "there is no sandbox on this machine: bubblewrap (bwrap) is not on PATH",
            hint="apt install bubblewrap",
        )
    tried = subprocess.run(
        [found, *_NAMESPACES, *_TRY],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if tried.returncode != 0:
        said = tried.stderr.decode(errors="replace").strip().removeprefix("bwrap: ")
        reason, hint = explain_denial(said)
        raise SandboxError(f"this machine denies a sandbox: {reason}", hint=hint)
    return found


def explain_denial(said: str) -> tuple[str, str]:
    """Return why namespaces are denied and what allows them; `said` is what the kernel said."""
    return _denial("/proc/sys") or (said, _CONTAINER)


_CONTAINER = "in a container, allow it user namespaces, for instance --security-opt seccomp=…"
_SWITCHES = (
    ("user/max_user_namespaces", "0", "sudo sysctl user.max_user_namespaces=28633"),
    ("kernel/unprivileged_userns_clone", "0", "sudo sysctl kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)
"""Files below /proc/sys that deny user namespaces, the value that does it, and the remedy."""


def _denial(settings: str) -> tuple[str, str] | None:
    """Return which setting denies namespaces, and what allows them; None when it is no setting."""
    for name, denying, remedy in _SWITCHES:
        try:
            with open(f"{settings}/{name}", encoding="ascii") as file:
                state = file.read().strip()
        except OSError:
            continue
        if state == denying:
            return f"{name.replace('/', '.')} is {state}", remedy
    return None


def arguments(sandbox: Sandbox, argv: Sequence[str], *, files: Mapping[str, int]) -> list[str]:
    """Return what bubblewrap is called with, its own name left out.

    `files` are small files that are only inside: path to the descriptor of their contents.
    """
    words = [*_NAMESPACES, "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    user, group = (USER, GROUP) if sandbox.root is None else (0, 0)
    words += ["--uid", str(user), "--gid", str(group), "--hostname", "localhost"]
    if sandbox.network:
        words.append("--share-net")
    if sandbox.root is not None:
        words += ["--bind", sandbox.root, "/", "--cap-add", "ALL"]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - inside
    for path, descriptor in files.items():
        words += ["--ro-bind-data", str(descriptor), path]
    for view in sandbox.views:
        words += _seen(view)
    return [*words, "--chdir", sandbox.folder, "--", *argv]


def _seen(view: View) -> list[str]:
    inside = view.inside or view.path
    if view.inside is None and not view.writable and os.path.islink(view.path):
        return ["--symlink", os.readlink(view.path), inside]
    return ["--bind" if view.writable else "--ro-bind", view.path, inside]


def run(
    bwrap: str, sandbox: Sandbox, argv: Sequence[str], *, output: IO[bytes] | int | None = None
) -> int:
    """Run a command inside and return its exit code; 128 plus the signal's number if one ended it.

    Nothing of it runs any more when this returns. `bwrap` is what `require` returned. Standard
    input is empty; both outputs go to `output`, an open file or descriptor (None: where this
    process's go).
    """
    texts = {"/etc/passwd": PASSWD, "/etc/group": GROUPS, "/etc/hosts": HOSTS}
    files = {path: _anonymous(text) for path, text in texts.items() if sandbox.root is None}
    reading, writing = os.pipe()
    passed = [*files.values(), writing]
    words = ["--info-fd", str(writing)]
    if sandbox.root is not None:
        passed.append(_anonymous(granting()))
        words += ["--seccomp", str(passed[-1])]
    try:
        process = subprocess.Popen(
            [bwrap, *words, *arguments(sandbox, argv, files=files)],
            env=dict(sandbox.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            pass_fds=passed,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        for descriptor in passed:
            os.close(descriptor)
    with process, open(reading, "rb") as told:
        try:
            return _wait(process, told.read())
        except BaseException:
            process.kill()
            raise


def _wait(process: "subprocess.Popen[bytes]", told: bytes) -> int:
    """Wait for bubblewrap, which knows the exit code, and for the namespace's first process.

    bubblewrap ends before the kernel has killed what is left in the namespace.
    """
    try:
        first = os.pidfd_open(json.loads(told)["child-pid"])
    except (ValueError, ProcessLookupError):
        return process.wait()
    try:
        code = process.wait()
        poll = select.poll()
        poll.register(first, select.POLLIN)
        poll.poll()
    finally:
        os.close(first)
    return code


def _anonymous(text: str | bytes) -> int:
    """Return a descriptor of a file without a name that holds the text."""
    descriptor = os.memfd_create("sandbox")
    os.write(descriptor, text.encode() if isinstance(text, str) else text)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
