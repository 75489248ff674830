"""`envtool` inside of a system root: go back to the host's root, and become the host's envtool.

Inside, the host's Python may lack its libraries, and /usr is not the one that environments are made
for. So a program there, of the environment's own Python, first moves itself to where the host's
root is the root again; what it starts then is as if started outside. This file is its text
(`envtool.machine.isolating.system` writes it), so it imports nothing of ours.
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

HOST = "/.host"
_NEW_MOUNTS, _NEW_USER, _DETACH = 0x00020000, 0x10000000, 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "loongarch64": 41}
_BIND_RECURSIVELY = (1 << 12) | (1 << 14)
_SLAVE_RECURSIVELY = (1 << 19) | (1 << 14)


def leave(words: Sequence[str], folder: str) -> NoReturn:
    """Become a program of the host, in the working folder."""
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_NEW_USER | _NEW_MOUNTS))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    _check(libc.mount(b"none", b"/", None, ctypes.c_ulong(_SLAVE_RECURSIVELY), None))
    # What is mounted already is locked here; mounted once more it is not.
    place = HOST.encode()
    _check(libc.mount(place, place, None, ctypes.c_ulong(_BIND_RECURSIVELY), None))
    os.chdir(HOST)
    _check(libc.syscall(ctypes.c_long(_PIVOT_ROOT[os.uname().machine]), b".", b"."))
    _check(libc.umount2(b".", _DETACH))
    os.chdir(folder if os.path.isdir(folder) else "/")
    os.execv(words[0], list(words))  # noqa: S606 - becoming it is the purpose


def _check(done: int) -> None:
    if done != 0:
        number = ctypes.get_errno()
        sys.exit(f"error: the host's envtool cannot be reached from here: {os.strerror(number)}")
