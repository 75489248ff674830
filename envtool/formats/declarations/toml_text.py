"""TOML text, decoded, its syntax errors told as faults."""

import re
from typing import Any

from envtool.errors import one_fault

__all__ = ["basic_string", "load"]


def basic_string(text: str) -> str:
    """Return a text as a TOML basic string; JSON's escapes are TOML's but for DEL."""
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def load(text: str, file: str, lines_before: int = 0) -> dict[str, Any]:
    """Return the tables of a TOML text.

    :raises DeclarationError: it is not TOML; the line is counted with those before the text.
    """
    import tomllib

    if text.startswith("\ufeff"):
        raise one_fault(file, "begins with a byte order mark; save it as UTF-8 without one", line=1)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise one_fault(file, "not TOML: nested too deeply") from None
    except ValueError as error:
        line, message = _syntax_fault(text, str(error))
        raise one_fault(file, f"not TOML: {message}", line=line + lines_before) from error


def _syntax_fault(text: str, message: str) -> tuple[int, str]:
    at_line = re.search(r" \(at line (\d+), column \d+\)$", message)
    if at_line:
        return int(at_line[1]), message[: at_line.start()]
    return text.rstrip("\n").count("\n") + 1, message.removesuffix(" (at end of document)")
