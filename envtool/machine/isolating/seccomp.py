"""A filter of system calls that makes a user look like root to maintainer scripts (seccomp(2)).

In a user namespace only one user exists. Giving a file to another, or becoming one, fails there;
scripts do both, for files whose owner the store does not keep anyway. The filter answers such calls
at once with success, and does nothing (as Charliecloud does it, `--force=seccomp`). So it answers
those that sleep: scripts wait for services, of which none is running, and fc-cache for the clock.
"""

import os
import struct

from envtool.errors import SandboxError

__all__ = ["granting"]

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
"""Of the Berkeley packet filter: load a word, jump if equal, return (linux/filter.h)."""
_ALLOW, _ANSWER_NOTHING = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE = 0, 4
"""Places in `struct seccomp_data`."""
_X86_64 = (
    *(92, 93, 94, 260),  # chown, fchown, lchown, fchownat
    *(105, 106, 113, 114, 116, 117, 119, 122, 123),  # setuid and its like
    *(188, 189, 190),  # setxattr and its like: capabilities of files
    *(35, 230),  # nanosleep, clock_nanosleep
)
_GENERIC = (
    *(54, 55),  # fchownat, fchown
    *(143, 144, 145, 146, 147, 149, 151, 152, 159),
    *(5, 6, 7),
    *(101, 115),
)
_CALLS = {
    "x86_64": (0xC000003E, _X86_64),
    "aarch64": (0xC00000B7, _GENERIC),
    "riscv64": (0xC00000F3, _GENERIC),
}
"""Machine to its `AUDIT_ARCH` and the numbers of the calls."""


def granting() -> bytes:
    """Return the filter for this machine, as bubblewrap takes it.

    :raises SandboxError: the numbers of its system calls are not known.
    """
    machine = os.uname().machine
    if machine not in _CALLS:
        raise SandboxError(f"a sandbox for system packages is not known on {machine}")
    architecture, calls = _CALLS[machine]
    count = len(calls)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, count + 1, architecture),
        (_LOAD, 0, 0, _NUMBER),
        *((_EQUAL, count - at, 0, number) for at, number in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ANSWER_NOTHING),
    ]
    return b"".join(struct.pack("=HBBI", *each) for each in program)
