"""Run the code in argv[1] as an owner whom file modes bind, even when root runs the tests.

Without its capabilities root is an owner like any other; to everybody else nothing changes.
"""

import ctypes
import sys

_VERSION_3 = 0x20080522


def drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    drop_capabilities()
    exec(sys.argv[1])
