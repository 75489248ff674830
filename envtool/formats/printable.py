"""Text of others made fit to be shown: nothing in it can steer a terminal."""

__all__ = ["escaped", "printable"]


def escaped(text: str) -> str:
    r"""Return the text with `\n`, `\x1b`, `\xff` and their like for what cannot be printed."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def printable(text: str) -> str:
    """Return the text with all escaped that cannot be printed but line ends and tabs."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else _escape(each) for each in text)


def _escape(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # noqa: PLR2004 - how Python holds a byte that is no UTF-8
        return f"\\x{number - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
