"""The host's GPU in a root of our own: its driver's libraries and its devices."""

import os
from glob import glob

from envtool.machine.isolating.leaving import HOST
from envtool.machine.isolating.sandbox import View

__all__ = ["DRIVERS", "DRIVERS_INSIDE", "gpu_views"]

DRIVERS = "drivers"
"""The folder of links to the host's driver; nothing else of the host is in it."""
DRIVERS_INSIDE = "drivers-inside"
"""The same, where the host's root is seen elsewhere (`machine.isolating.system`)."""
_DEVICES = ("/dev/dri", "/dev/dxg", "/dev/kfd", "/dev/nvidia*", "/dev/nvidia-caps")
_FOUND_BY = ("/sys/bus/pci", "/sys/class/drm", "/sys/dev/char", "/sys/devices")
"""Where libraries of drivers look which device is which."""


def gpu_views(python: str) -> tuple[View, ...]:
    """Return what an otherwise empty root sees of the GPU; nothing unless that is declared.

    `python` is the program of an environment whose interpreter is our own.
    """
    folder = f"{os.path.dirname(os.path.dirname(os.path.realpath(python)))}/{DRIVERS}"
    if not os.path.isdir(folder):
        return ()
    links = (os.readlink(f"{folder}/{name}") for name in sorted(os.listdir(folder)))
    # Their own places may be in a /usr that is another's.
    views = [View(os.path.realpath(path), HOST + path) for path in links if os.path.exists(path)]
    devices = sorted({path for pattern in _DEVICES for path in glob(pattern)})
    views += [View(path, path, writable=True) for path in devices]
    if devices:
        views += [View(path) for path in _FOUND_BY if os.path.isdir(path)]
    return tuple(views)
