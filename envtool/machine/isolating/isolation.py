"""An otherwise empty root for a command: what it is given, and nothing else of the machine.

The process that calls stays outside, hands signals on and ends as the command does; the command is
in a process namespace of its own, whose first process only collects orphans. What the command
leaves running ends with it.
"""

import os
import resource
import signal
from collections.abc import Mapping, Sequence
from typing import NoReturn

from envtool import signals
from envtool.errors import SandboxError
from envtool.machine.isolating.namespaces import (
    NEW_IPC,
    NEW_MOUNTS,
    NEW_NETWORK,
    NEW_PROCESSES,
    Root,
    bring_up_loopback,
    forgo_privileges,
    mount,
    unshare,
)
from envtool.machine.isolating.sandbox import HOME, HOSTS, View
from envtool.values import value

__all__ = ["Isolated", "become_isolated", "leave_network"]

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_NAMES = ("hosts", "resolv.conf", "nsswitch.conf", "localtime", "ssl/certs", "pki/tls/certs")
"""Of /etc: what finds hosts, and what proves them."""
_FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTSTP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_BY_KERNEL = 0x80
"""`SI_KERNEL` of sigaction(2): the terminal sent it, to the command as well."""


@value
class Isolated:
    """What a command finds."""

    views: tuple[View, ...]
    """Later ones lie over earlier ones."""
    folder: str
    """The working folder."""
    network: bool = True


def leave_network() -> None:
    """Move this process to where there is no network but itself.

    :raises SandboxError: the kernel denies it; names the setting.
    """
    unshare(NEW_NETWORK)
    bring_up_loopback()
    forgo_privileges()


def become_isolated(
    isolated: Isolated, words: Sequence[str], environ: Mapping[str, str]
) -> NoReturn:
    """Run a program, `words[0]` being its path, in the new root, and end as it does.

    :raises SandboxError: the kernel denies it; names the setting.
    """
    network = 0 if isolated.network else NEW_NETWORK
    unshare(NEW_MOUNTS | NEW_PROCESSES | NEW_IPC | network)
    if not isolated.network:
        bring_up_loopback()
    first = _furnish(isolated)
    ours = signal.pthread_sigmask(signal.SIG_BLOCK, (*_FORWARDED, signal.SIGCHLD))
    command = os.fork()
    if command == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, ours)
        _execute(words, environ, isolated.folder)
    _end_as(_watch(command), first)


def _furnish(isolated: Isolated) -> int:
    """Fill the new root and enter it; return the first process of the process namespace."""
    views = [(os.path.realpath(view.path), view) for view in isolated.views]
    terminal = os.ttyname(0) if os.isatty(0) else None
    root = Root()
    for path in ("/tmp", "/dev/shm", "/run", "/var/tmp"):  # noqa: S108 - those of the new root
        root.fresh(path, "tmpfs", "mode=1777")
    for name in _DEVICES:
        root.show(f"/dev/{name}", writable=True)
    root.fresh("/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=620")
    root.link("pts/ptmx", "/dev/ptmx")
    root.link("/proc/self/fd", "/dev/fd")
    for at, name in enumerate(("stdin", "stdout", "stderr")):
        root.link(f"/proc/self/fd/{at}", f"/dev/{name}")
    if terminal:
        root.show(terminal, "/dev/console", writable=True)
    _identify(root)
    for path, view in views:
        if view.path != path and not view.writable and view.inside is None:
            _show_link(root, view.path)
        else:
            root.show(path, view.inside or view.path, writable=view.writable)
    for name in _NAMES:
        found = os.path.realpath(root.source(f"/etc/{name}"))
        if os.path.exists(found) and not os.path.lexists(root.target(f"/etc/{name}")):
            root.show(found.removeprefix(Root.HOST), f"/etc/{name}")
    root.folder("/proc")
    # The kernel grants a /proc only to who still sees one.
    first = _start_first(root.target("/proc"))
    root.enter(read_only=True)
    return first


def _show_link(root: Root, path: str) -> None:
    root.link(os.readlink(root.source(path)), path)


def _identify(root: Root) -> None:
    """Say who the user is, and nobody else."""
    user, group = os.geteuid(), os.getegid()
    root.write("/etc/passwd", f"user:x:{user}:{group}:user:{HOME}:/bin/sh\n")
    root.write("/etc/group", f"user:x:{group}:\n")
    if not os.path.exists(root.source("/etc/hosts")):
        root.write("/etc/hosts", HOSTS)


def _start_first(proc: str) -> int:
    """Start the namespace's first process, which mounts /proc and collects orphans."""
    reading, writing = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(reading)
        _collect(proc, writing)
    os.close(writing)
    with open(reading, "rb") as told:
        if told.read() != b"ready":
            os.waitpid(first, 0)
            raise SandboxError("this machine denies namespaces: /proc cannot be mounted")
    return first


def _collect(proc: str, ready: int) -> NoReturn:
    try:
        mount("proc", proc, "proc", 2 | 4 | 8)
    except SandboxError:
        os._exit(1)
    os.write(ready, b"ready")
    os.closerange(0, 1 << 16)
    # What the terminal sends, the command takes; how orphans ended, nobody asks.
    for number in (*_FORWARDED, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


def _execute(words: Sequence[str], environ: Mapping[str, str], folder: str) -> NoReturn:
    signals.restore()
    forgo_privileges()
    try:
        os.chdir(folder)
        os.execve(words[0], list(words), dict(environ))  # noqa: S606 - becoming it is the purpose
    except OSError as error:
        os.write(2, f"error: {words[0]} cannot be executed: {error.strerror}\n".encode())
    os._exit(126)


def _watch(command: int) -> int:
    """Hand signals on until the command ends, and stop when it does; return its wait status."""
    while True:
        came = signal.sigwaitinfo((*_FORWARDED, signal.SIGCHLD))
        if came.si_signo != signal.SIGCHLD:
            if came.si_code != _BY_KERNEL:
                os.kill(command, came.si_signo)
            continue
        found, status = os.waitpid(command, os.WNOHANG | os.WUNTRACED)
        if found and os.WIFSTOPPED(status):
            os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(command, signal.SIGCONT)
        elif found:
            return status


def _end_as(status: int, first: int) -> NoReturn:
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command's own is the one of use
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128)
