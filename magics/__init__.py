"""`%envtool` and `%%envtool`: the environment of a running kernel, seen and changed from a cell.

In a kernel these modules lie alone in a store object, so they need only IPython and the standard
library, and ask the `envtool` program (`--json`), whose path the launcher leaves in
`ENVTOOL_PROGRAM`.

    %envtool add polars          a new generation; `import polars` works at once
    %envtool rollback            back to the one before
    path = %envtool fetch URL sha256-…
"""

from typing import Any

from envtool.magics.commands import COMMANDS, answer, declare
from envtool.magics.installing import answer_installers
from envtool.magics.noticing import notice, say_with_first_cell

__all__ = ["load_ipython_extension"]


def load_ipython_extension(ipython: Any) -> None:
    """Register the magics; IPython calls it."""

    def envtool(line: str, cell: str | None = None) -> object:
        """Show or change the environment of this kernel.

        %envtool status | generations | diff [A [B]] | tree | why NAME
        %envtool add REQ… | remove NAME… | upgrade [NAME…] | lock | switch | rollback [N]
        %envtool shell [LINE]
        %envtool fetch URL [HASH]
        %envtool help [COMMAND]
        %envtool notebook init | add | lock | show | run | verify | clean NB…

        %%envtool makes the declaration in the cell (TOML, or a `# /// script` block) the kernel's.
        """
        if cell is None:
            return answer(line, ipython)
        declare(line, cell, ipython)
        return None

    def complete(_: object, event: Any) -> list[str]:
        return [] if event.line.split()[2:] else [*COMMANDS]

    if hasattr(ipython, "kernel") and (text := notice()) is not None:
        say_with_first_cell(ipython, text)
    ipython.register_magic_function(envtool, magic_kind="line_cell")
    answer_installers(ipython)
    ipython.set_hook("complete_command", complete, str_key="%envtool")
