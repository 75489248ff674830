"""Another declaration in the place of a file's own, as going back to an earlier one asks for."""

from typing import TYPE_CHECKING

from envtool.errors import DeclarationError, Fault
from envtool.formats.declarations.editing.places import changed, changed_notebook
from envtool.formats.declarations.inline import find_block
from envtool.formats.declarations.toml_text import load

if TYPE_CHECKING:
    from envtool.formats.declarations.declaration import Kind

__all__ = ["replace_declaration"]


def replace_declaration(text: str, toml: str, *, kind: "Kind", file: str = "declaration") -> str:
    """Return the file's text with another declaration in the place of its own.

    `toml` is what a block of such a file holds, or a whole envtool.toml; a `# /// script` block
    stands for its contents. A notebook without a block gets one.

    :raises DeclarationError: it is no TOML, or the file holds other things than a declaration.
    """
    block = find_block(toml, file="the declaration")
    toml = block.content if block else toml.strip("\n") + "\n"
    load(toml, "the declaration")
    if kind == "pyproject.toml":
        message = "it is more than a declaration, and is not replaced as a whole"
        raise DeclarationError([Fault(file, None, "", message)], hint="envtool add NAME")
    if kind == "notebook-metadata":
        return changed_notebook(text, file, lambda _: toml)
    return changed(text, kind, file, lambda _: toml)
