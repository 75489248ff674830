"""The `# /// script` block of a script or a notebook's first code cell (PEP 723)."""

from __future__ import annotations

from envtool.errors import one_fault
from envtool.values import value

__all__ = ["Block", "find_block", "has_unclosed_block", "with_content"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_OPEN, _CLOSE = "# /// ", "# ///"
_OURS = "# /// script"
_TYPE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"
_PREAMBLE = r"\A\ufeff?(?:#!.*(?:\n|\Z))?(?:#.*?coding[:=].*(?:\n|\Z))?"


@value
class Block:
    """One block: its TOML, and where it stands in the script."""

    content: str
    """TOML without the leading `# `; line ends are `\\n`."""
    line: int
    """Line of the script, counted from 1, that holds the content's first line."""
    start: int
    """Offset of the content's first character in the script with its line ends made `\\n`."""
    end: int
    """Offset after the content, where the closing `# ///` begins."""


def find_block(script: str, *, file: str) -> Block | None:
    """Return the script's block; None when there is none.

    :raises DeclarationError: there are two.
    """
    script = script.replace("\r\n", "\n").removeprefix("\ufeff")
    lines = script.split("\n")
    found = [(opening, closing) for kind, opening, closing in _blocks(lines) if kind == "script"]
    if not found:
        return None
    if len(found) > 1:
        (first, _), (second, _), *_ = found
        raise one_fault(
            file,
            f"a second `# /// script` block; the first stands in line {first + 1}",
            line=second + 1,
        )
    opening, closing = found[0]
    start, end = (sum(len(line) + 1 for line in lines[:at]) for at in (opening + 1, closing))
    commented = lines[opening + 1 : closing]
    content = "".join(f"{line[2:] if line[1:2] == ' ' else line[1:]}\n" for line in commented)
    return Block(content, opening + 2, start, end)


def _blocks(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """Yield type, opening line and closing line of each block, lines counted from 0.

    It finds what the PEP's own expression finds: a block ends with the last line that could close
    it. `re` alone would take 3 ms of every kernel's start.
    """
    at = 0
    while at < len(lines):
        kind = lines[at].removeprefix(_OPEN)
        closing = None
        if kind != lines[at] and kind and not kind.strip(_TYPE_LETTERS):
            closing = _closing(lines, at)
        if closing is None:
            at += 1
        else:
            yield kind, at, closing
            at = closing + 1


def _closing(lines: list[str], opening: int) -> int | None:
    """Return the last line of the comment that could close a block with something in it."""
    found = None
    for at in range(opening + 1, len(lines)):
        if lines[at] != "#" and not lines[at].startswith("# "):
            break
        if lines[at] == _CLOSE and at > opening + 1:
            found = at
    return found


def has_unclosed_block(script: str) -> int | None:
    """Return the line of a `# /// script` that no `# ///` closes, for the message's sake."""
    lines = script.replace("\r\n", "\n").split("\n")
    return lines.index(_OURS) + 1 if _OURS in lines else None


def with_content(script: str, content: str, *, file: str) -> str:
    r"""Return the script with the block's TOML replaced, or with a new block at its top.

    A new block stands below the interpreter and encoding lines. Line ends must be `\n`.

    :raises DeclarationError: there are two blocks.
    """
    mark = "\ufeff" if script.startswith("\ufeff") else ""
    script = script.removeprefix(mark)
    lines = content.rstrip("\n").split("\n")
    commented = "".join(f"# {line}\n" if line else "#\n" for line in lines)
    block = find_block(script, file=file)
    if block is not None:
        return mark + script[: block.start] + commented + script[block.end :]
    import re

    match = re.match(_PREAMBLE, script)
    preamble = script[: match.end()] if match else ""
    if preamble and not preamble.endswith("\n"):
        preamble += "\n"
    rest = script[len(preamble) :] if match else script
    gap = "\n" if rest and not rest.startswith("\n") else ""
    return f"{mark}{preamble}# /// script\n{commented}# ///\n{gap}{rest}"
