"""The libraries of the host's GPU driver: they belong to its kernel and can come from nowhere else.

Only these are found, by their names; whatever else lies beside them is not let through.
"""

import os
import re
from collections.abc import Sequence

__all__ = ["find_drivers"]

_NAME = re.compile(
    r"lib(?:"
    r"cuda|cudadebugger|nvcuvid|nvoptix|nvidia-[a-z0-9-]+|(?:GLX|EGL|GLESv\d_CM|GLESv\d|vdpau)_nvidia"
    r"|dxcore|d3d12|d3d12core"  # Windows' own, below WSL
    r"|ze_intel_gpu"
    r")\.so(?:\.[0-9]+)*"
).fullmatch
_FOLDERS = (
    "/run/opengl-driver/lib",
    "/usr/lib/wsl/lib",
    "/usr/local/nvidia/lib64",
    "/usr/lib/{machine}-linux-gnu",
    "/usr/lib/{machine}-linux-gnu/nvidia/current",
    "/usr/lib64",
    "/usr/lib64/nvidia",
    "/usr/lib",
)
"""Where NixOS, WSL, NVIDIA's containers, Debian and the others have them."""


def find_drivers(machine: str, folders: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """Return names of the driver's libraries and where each lies; sorted by name.

    They are looked for in `folders`, if there are any, else where distributions have them; of
    several of a name the first one counts. A machine without such a driver has none.
    """
    found: dict[str, str] = {}
    for folder in folders or (each.format(machine=machine) for each in _FOLDERS):
        for name in _listing(folder):
            path = f"{folder}/{name}"
            if _NAME(name) and os.path.isfile(path):
                found.setdefault(name, path)
    return tuple(sorted(found.items()))


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
