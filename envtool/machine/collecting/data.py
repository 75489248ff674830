"""What keeps fetched data: links below `var/gcroots/data`, in a folder for each declaration.

Data belong to a project as its generations do: they stay for as long as its declaration exists, and
`envtool gc --gone` lets them go with it.
"""

import os

from envtool.formats.nix.storepath import StorePath
from envtool.machine.collecting.roots import add_direct
from envtool.machine.disk import disk_errors
from envtool.machine.settings import Settings

__all__ = ["forget_gone", "keep"]

_FOLDER = "data"


def keep(settings: Settings, declaration: str, path: StorePath) -> None:
    """Keep an object for as long as the declaration's file exists. Call it under `Store.shared`."""
    place = f"{_FOLDER}{declaration}"
    with disk_errors("make a GC root"):
        os.makedirs(f"{settings.gcroots}/{place}", exist_ok=True)
    add_direct(settings, f"{place}/{path}", path)


def forget_gone(settings: Settings) -> None:
    """Let go of the data of declarations that are no longer there."""
    top = f"{settings.gcroots}/{_FOLDER}"
    with disk_errors("remove GC roots of data"):
        for folder, _, _ in os.walk(top, topdown=False):
            links = [entry.path for entry in os.scandir(folder) if entry.is_symlink()]
            if links and not os.path.lexists(folder.removeprefix(top)):
                for link in links:
                    os.unlink(link)
            if not os.listdir(folder):
                os.rmdir(folder)
