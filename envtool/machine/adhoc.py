"""Declarations that are made up from words, such as those of `envtool shell -p numpy`.

They lie in the cache, under a digest of what they say, so that the same words find the same lock
and environment again. Their profiles lie beside them, where no collector looks for roots: what they
lead to stays for as long as a process is in it, and goes with the next collection after that.
"""

import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envtool.machine.disk import disk_errors

if TYPE_CHECKING:
    from envtool.machine.settings import Settings

__all__ = ["made_up"]

_FOLDER = "adhoc"


def made_up(settings: "Settings", requirements: Sequence[str]) -> str:
    """Return the path of the declaration that asks for these requirements and nothing else.

    :raises DeclarationError: with all requirements that are none.
    :raises StoreError: it cannot be written.
    """
    text = _text(requirements)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    folder = f"{settings.cache}/{_FOLDER}/{digest}"
    path = f"{folder}/envtool.toml"
    if not os.path.exists(path):
        from envtool.formats.declarations.declaration import parse
        from envtool.machine.project import write_declaration

        parse(text, path="-p", kind="envtool.toml")
        with disk_errors("keep a declaration"):
            os.makedirs(folder, exist_ok=True)
        write_declaration(path, text)
    return path


def _text(requirements: Sequence[str]) -> str:
    import json

    wanted = sorted(set(requirements))
    listed = json.dumps(wanted, ensure_ascii=False)
    return f'name = "{_name(wanted)}"\ndependencies = {listed}\n'


def _name(requirements: Sequence[str]) -> str:
    """Return what the prompt shows: the names, as far as they fit."""
    import re

    names = [re.split(r"[^A-Za-z0-9._-]", each.strip(), maxsplit=1)[0] for each in requirements]
    shown = "-".join(name.strip("._-") for name in names)[:30].strip("._-")
    return shown.lower() or "adhoc"
