"""The `# /// script` block of a script or a notebook's first code cell (PEP 723)."""

import re

from envtool.formats.declarations.checked import one_fault
from envtool.values import value

__all__ = ["Block", "find_block", "has_unclosed_block", "with_content"]

# The PEP's own reference expression.
_BLOCK = re.compile(
    r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$",
)
_OPENING = re.compile(r"(?m)^# /// script$")
_PREAMBLE = re.compile(r"\A\ufeff?(?:#!.*(?:\n|\Z))?(?:#.*?coding[:=].*(?:\n|\Z))?")


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
    matches = [match for match in _BLOCK.finditer(script) if match["type"] == "script"]
    if not matches:
        return None
    first_lines = [script.count("\n", 0, match.start()) + 1 for match in matches]
    if len(matches) > 1:
        raise one_fault(
            file,
            f"a second `# /// script` block; the first stands in line {first_lines[0]}",
            line=first_lines[1],
        )
    start, end = matches[0].span("content")
    lines = script[start:end].split("\n")
    content = "\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
    return Block(content, first_lines[0] + 1, start, end)


def has_unclosed_block(script: str) -> int | None:
    """Return the line of a `# /// script` that no `# ///` closes, for the message's sake."""
    opening = _OPENING.search(script.replace("\r\n", "\n"))
    return script.count("\n", 0, opening.start()) + 1 if opening else None


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
    match = _PREAMBLE.match(script)
    preamble = script[: match.end()] if match else ""
    if preamble and not preamble.endswith("\n"):
        preamble += "\n"
    rest = script[len(preamble) :] if match else script
    gap = "\n" if rest and not rest.startswith("\n") else ""
    return f"{mark}{preamble}# /// script\n{commented}# ///\n{gap}{rest}"
