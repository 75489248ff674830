"""Declarations without a file: `envtool shell -p numpy`, a cell of a notebook nobody knows.

They lie in the cache, under a digest of what they say, so that the same words find the same lock
and environment again. Their profiles lie beside them, where no collector looks for roots: what they
lead to stays for as long as a process is in it, and goes with the next collection after that. The
declaration goes when it is idle (`envtool.machine.collecting.caches`).
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from envtool.machine.disk import disk_errors

if TYPE_CHECKING:
    from envtool.machine.settings import Settings

__all__ = ["made_up", "made_up_notebook"]

_FOLDER = "adhoc"


def made_up(settings: "Settings", requirements: Sequence[str], system: Sequence[str] = ()) -> str:
    """Return the path of the declaration that asks for these requirements and nothing else.

    `system` is packages of Debian.

    :raises DeclarationError: with all requirements that are none.
    :raises StoreError: it cannot be written.
    """
    text = _text(requirements, system)
    path = f"{_folder(settings, text)}/envtool.toml"
    if not _is_kept(path):
        from envtool.formats.declarations.reading import parse

        parse(text, path="-p" if requirements else "--system", kind="envtool.toml")
        _write(path, text)
    return path


def made_up_notebook(settings: "Settings", cell: str) -> str:
    """Return the path of a notebook that has this code cell, with its declaration, and no other.

    :raises DeclarationError: with all faults of the declaration.
    :raises StoreError: it cannot be written.
    """
    path = f"{_folder(settings, cell)}/cell.ipynb"
    if not _is_kept(path):
        from envtool.formats.declarations.editing.cells import EMPTY, with_code_cell_before
        from envtool.formats.declarations.reading import parse

        text = with_code_cell_before(EMPTY, 1, cell)
        parse(text, path="the cell", kind="notebook-cell")
        _write(path, text)
    return path


def _folder(settings: "Settings", text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{settings.cache}/{_FOLDER}/{digest}"


def _is_kept(path: str) -> bool:
    """Say whether a declaration is there; if so, its folder notes that it is used."""
    if not os.path.exists(path):
        return False
    with suppress(OSError):  # somebody else's, or on a disk that cannot be written
        os.utime(os.path.dirname(path))
    return True


def _write(path: str, text: str) -> None:
    from envtool.machine.project import write_declaration

    with disk_errors("keep a declaration"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    write_declaration(path, text)


def _text(requirements: Sequence[str], system: Sequence[str]) -> str:
    wanted, programs = sorted(set(requirements)), sorted(set(system))
    text = f'name = "{_name([*wanted, *programs])}"\ndependencies = {_array(wanted)}\n'
    return text + (f"\n[system]\npackages = {_array(programs)}\n" if programs else "")


def _array(words: Sequence[str]) -> str:
    from envtool.formats.declarations.toml_text import basic_string

    return f"[{', '.join(map(basic_string, words))}]"


def _name(requirements: Sequence[str]) -> str:
    """Return what the prompt shows: the names, as far as they fit."""
    import re

    names = [re.split(r"[^A-Za-z0-9._-]", each.strip(), maxsplit=1)[0] for each in requirements]
    shown = "-".join(name.strip("._-") for name in names)[:30].strip("._-")
    return shown.lower() or "adhoc"
