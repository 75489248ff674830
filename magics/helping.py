"""What `%envtool help` says, and how a word is spelled that there is not."""

from collections.abc import Iterable
from difflib import get_close_matches

from envtool.magics.shown import Refused, Shown

__all__ = ["USAGES", "help_for", "unknown"]

USAGES = {
    "status": ("status", "which generation this kernel runs in; also `%envtool` alone"),
    "add": ("add REQ…", "declare packages, lock, and enter an environment with them"),
    "remove": ("remove NAME…", "take packages out of the declaration"),
    "upgrade": ("upgrade [NAME…]", "newer versions of some packages, or of all"),
    "switch": ("switch", "go to what is declared"),
    "rollback": ("rollback [N]", "back to the generation before, or to number N"),
    "generations": ("generations", "what there was, and what changed"),
    "diff": ("diff [A [B]]", "what changed between two generations"),
    "why": ("why NAME", "who asked for a package"),
    "tree": ("tree", "what requires what, and how big it is"),
    "lock": ("lock", "write the lock again, and switch to nothing"),
    "shell": ("shell [LINE]", "run a line of shell in the environment"),
    "fetch": ("fetch URL [HASH]", "put data into the store by hash, and return its path"),
    "notebook": (
        "notebook WORDS…",
        "`envtool notebook`: init, add, lock, show, run, verify, clean",
    ),
}
"""By name: how each is used, and what it does."""


def help_for(name: str | None = None) -> Shown:
    """Return what all commands do, or one of them."""
    if name is None:
        rows = [(f"%envtool {usage}", meaning) for usage, meaning in USAGES.values()]
        cell = "`%%envtool` makes the declaration in its cell that of this kernel"
        return Shown("the environment of this kernel, from a cell", ("", ""), rows, [cell])
    usage, meaning = USAGES[name]
    more = f"`envtool {name} --help` in a terminal says more"
    return Shown(f"%envtool {usage}", notes=[meaning, more])


def unknown(word: str, known: Iterable[str]) -> Refused:
    """Return the refusal of a word that is no command."""
    near = get_close_matches(word, [*known], 1)
    told = f"did you mean `%envtool {near[0]}`?" if near else "`%envtool help` shows what there is"
    return Refused(f"there is no `%envtool {word}`; {told}")
