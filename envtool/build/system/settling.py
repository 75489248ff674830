"""Leave of a system root what is the same whenever, wherever and by whom it is made.

Gone are: what records the moment (logs, backups, caches that hold times), what must be of one
machine alone (keys, identities), and what serves the installation only.
"""

import os
import re
import shutil

__all__ = ["settle"]

_GONE = (
    "dev",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/sbin/policy-rc.d",
    "etc/.pwd.lock",
    "etc/hostname",
    "etc/hosts",
    "etc/machine-id",
    "etc/mtab",
    "etc/resolv.conf",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
    "var/backups",
    "var/cache/apt",
    "var/cache/debconf",
    "var/cache/ldconfig",
    "var/cache/man",
    "var/lib/apt",
    "var/lib/dbus",
    "var/lib/dpkg/triggers",
    "var/lib/dpkg/updates",
    "var/lib/systemd",
    "var/lib/urandom",
    "var/log",
    "var/spool",
    "var/tmp",
)
_OF_ONE_MACHINE = re.compile(
    r"etc/ssh/ssh_host_|etc/ssl/private/|etc/ssl/certs/ssl-cert-snakeoil|var/lib/dpkg/.*(?:-old|lock)$"
).match
_INFO = re.compile(r".*\.(?:preinst|postinst|prerm|postrm|templates|config|triggers)$").match


def settle(tree: str) -> None:
    """Bring a tree whose scripts have run into its final form; names of files only."""
    for place in _GONE:
        _remove(f"{tree}/{place}")
    for folder, _, names in os.walk(tree):
        below = folder[len(tree) + 1 :]
        for name in names:
            if _is_gone(below, name) or not _is_kept(f"{folder}/{name}"):
                os.unlink(f"{folder}/{name}")


def _is_gone(folder: str, name: str) -> bool:
    serves_installation = folder == "var/lib/dpkg/info" and _INFO(name)
    return bool(serves_installation or _OF_ONE_MACHINE(f"{folder}/{name}"))


def _is_kept(path: str) -> bool:
    """Say whether a store object can hold it: sockets, pipes and devices are of one moment."""
    return os.path.islink(path) or os.path.isfile(path)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
