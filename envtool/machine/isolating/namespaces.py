"""Linux namespaces, by their system calls: unshare, mount, pivot_root (namespaces(7)).

bubblewrap cannot serve here: it stays between the command and its terminal, and does not hand on
signals. What is entered here stays the same process, so that process id, signals and terminal are
the command's own. The user stays who they are; inside, other users' files belong to nobody.
"""

import ctypes
import errno
import os
from typing import NoReturn

from envtool.errors import SandboxError
from envtool.machine.isolating.sandbox import explain_denial

__all__ = ["Root", "bring_up_loopback", "forgo_privileges", "mount", "unshare"]

NEW_MOUNTS, NEW_USER, NEW_PROCESSES, NEW_NETWORK = 0x00020000, 0x10000000, 0x20000000, 0x40000000
NEW_IPC = 0x08000000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _REMOUNT = 1, 2, 4, 32
_BIND, _RECURSIVE, _SLAVE, _RELATIVE_TIMES = 1 << 12, 1 << 14, 1 << 19, 1 << 21
_DETACH = 2
_MOUNT_SETATTR, _AT_RECURSIVE = 442, 0x8000
"""`mount_setattr(2)`: the same number on every architecture; since Linux 5.12."""
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "loongarch64": 41}
_KEPT = 1 | 2 | 4 | 8 | 1024 | 2048
"""Flags of statvfs(3) that mount(2) has by the same bits."""
_NO_NEW_PRIVILEGES, _DROP_CAPABILITY = 38, 24
_INTERFACE_UP, _SET_FLAGS = 0x1 | 0x40, 0x8914

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move this process into new namespaces, and a user namespace that allows it them.

    :raises SandboxError: the kernel denies it; names the setting.
    """
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(NEW_USER | flags) != 0:
        number = ctypes.get_errno()
        reason, hint = explain_denial(os.strerror(number))
        raise SandboxError(f"this machine denies namespaces: {reason}", hint=hint)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        reason, hint = explain_denial(f"{path}: {error.strerror}")
        raise SandboxError(f"this machine denies namespaces: {reason}", hint=hint) from error


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Attach a file system, or an existing folder once more (see its manual page, section 2).

    :raises SandboxError: the kernel denies it.
    """
    done = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    if done != 0:
        _denied(f"{source} cannot be mounted at {target}")


def _denied(what: str) -> NoReturn:
    number = ctypes.get_errno()
    reason, hint = explain_denial(os.strerror(number))
    raise SandboxError(f"{what}: {reason}", hint=hint)


def forgo_privileges() -> None:
    """Give up, for this process and all that comes of it, every privilege, now and by setuid."""
    _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    capability = 0
    while _libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0) == 0:
        capability += 1


def bring_up_loopback() -> None:
    """Make 127.0.0.1 work in a network namespace that is new."""
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sh14x", b"lo", _INTERFACE_UP))


class Root:
    """A root folder in the making: empty, and filled from the one that there is.

    After the last step, `enter`, it is the process's root. All paths are absolute.
    """

    HOST, NEW = "/host", "/root"

    def __init__(self) -> None:
        """Take the process, in a mount namespace of its own, between the two roots."""
        mount("none", "/", None, _RECURSIVE | _SLAVE)
        base = "/tmp"  # noqa: S108 - there on every machine; only this process sees it covered
        mount("tmpfs", base, "tmpfs", _NO_SUID | _NO_DEVICES, "mode=0755")
        os.mkdir(f"{base}{self.HOST}")
        os.mkdir(f"{base}{self.NEW}")
        mount(f"{base}{self.NEW}", f"{base}{self.NEW}", None, _BIND)
        _pivot(base, f"{base}{self.HOST}")
        os.chdir("/")

    def source(self, path: str) -> str:
        """Return where a path of the host is now."""
        return f"{self.HOST}{path}"

    def target(self, path: str) -> str:
        """Return where a path of the new root is now."""
        return f"{self.NEW}{path}"

    def folder(self, path: str) -> None:
        """Make a folder, and those above it."""
        os.makedirs(self.target(path), exist_ok=True)

    def link(self, to: str, path: str) -> None:
        """Make a symbolic link at `path`."""
        self.folder(os.path.dirname(path))
        os.symlink(to, self.target(path))

    def write(self, path: str, text: str) -> None:
        """Make a small file."""
        self.folder(os.path.dirname(path))
        with open(self.target(path), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)

    def show(self, path: str, inside: str | None = None, *, writable: bool = False) -> None:
        """Let a file or folder of the host be seen, by default where it lies.

        `path` has no symbolic links in it.
        """
        source, target = self.source(path), self.target(inside or path)
        try:
            if os.path.isdir(source):
                os.makedirs(target, exist_ok=True)
            elif not os.path.lexists(target):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "xb"):
                    pass
        except OSError as error:  # what is shown already is read-only, or has a file there
            raise SandboxError(
                f"{path} cannot be seen at {inside or path}: {error.strerror}",
                hint="move it to where nothing else is shown",
            ) from error
        mount(source, target, None, _BIND | _RECURSIVE)
        if not writable:
            _make_read_only(target)

    def fresh(self, path: str, kind: str, data: str | None = None) -> None:
        """Mount a new file system, such as a tmpfs."""
        self.folder(path)
        mount(kind, self.target(path), kind, _NO_SUID | (0 if kind == "devpts" else 4), data)

    def enter(self, *, read_only: bool) -> None:
        """Make it the process's root; the host's is gone from sight. Then `chdir`."""
        if _libc.umount2(os.fsencode(self.HOST), _DETACH) != 0:
            _denied("the host's files cannot be put out of sight")
        os.chdir(self.NEW)
        _pivot(".", ".")
        if _libc.umount2(b".", _DETACH) != 0:
            _denied("the former root cannot be let go of")
        os.chdir("/")
        if read_only:
            _make_read_only("/", recursive=False)


def _pivot(new: str, old: str) -> None:
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise SandboxError(f"namespaces are not known on {os.uname().machine}")
    if _libc.syscall(ctypes.c_long(number), os.fsencode(new), os.fsencode(old)) != 0:
        _denied("the root cannot be changed")


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user", ctypes.c_uint64),
    )


def _make_read_only(path: str, *, recursive: bool = True) -> None:
    wanted = _Attributes(_READ_ONLY, 0, 0, 0)
    done = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_int(-100),
        os.fsencode(path),
        ctypes.c_uint(_AT_RECURSIVE if recursive else 0),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )
    if done == 0:
        return
    if ctypes.get_errno() != errno.ENOSYS:
        _denied(f"{path} cannot be made read-only")
    # Before Linux 5.12: the flags that the mount has are locked, and must be said again.
    has = os.statvfs(path).f_flag
    times = _RELATIVE_TIMES if has & 4096 else 0
    mount("none", path, None, _BIND | _REMOUNT | _READ_ONLY | (has & _KEPT) | times)
