"""What a magic shows: tables and sentences, as text in a console and HTML in a notebook."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Refused", "Shown", "changes", "counts", "size_text"]

_NUMBERS = {"number", "size"}
"""Columns whose cells are compared by their last digit."""


class Shown:
    """A title, a table and sentences below it; any of the latter two may be empty."""

    def __init__(
        self,
        title: str,
        header: Sequence[str] = (),
        rows: Sequence[Sequence[str]] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.title = title
        self.header = list(header)
        self.rows = [list(row) for row in rows]
        self.notes = list(notes)

    def __repr__(self) -> str:
        """Return the text for consoles and for front ends without HTML."""
        lines = [self.header, *self.rows] if self.rows else []
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *filter(None, aligned), *self.notes])

    def _repr_html_(self) -> str:
        title = _marked(self.title)
        parts = [f"<b>{title}</b>" if self.rows or self.notes else title]
        if self.rows:
            header = self._line(self.header, "th") if any(self.header) else ""
            body = "".join(self._line(row, "td") for row in self.rows)
            parts.append(f"<table style='margin:.3em 0'>{header}{body}</table>")
        parts += map(_marked, self.notes)
        return "".join(f"<div style='line-height:1.6'>{part}</div>" for part in parts)

    def _line(self, cells: Sequence[str], tag: str) -> str:
        """Return a row; notebooks put everything to the right unless each cell says otherwise."""
        last = len(cells) - 1
        styles = [
            f"text-align:{'right' if name in _NUMBERS else 'left'}"
            f"{'' if at == last else ';white-space:nowrap'}"
            for at, name in enumerate(self.header)
        ]
        inner = "".join(
            f"<{tag} style='{style}'>{html.escape(cell)}</{tag}>"
            for style, cell in zip(styles, cells, strict=True)
        )
        return f"<tr>{inner}</tr>"


class Refused(Exception):  # noqa: N818 - its name is what a user reads
    """The program could not answer; its text is for the user, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"envtool: {self}"]


def changes(found: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return a row for each package that came, went or changed: sign, name, version, size."""
    rows = [
        ("+", one["name"], one["version"] or "", size_text(one["size"])) for one in found["added"]
    ]
    rows += [("-", one["name"], one["version"] or "", "") for one in found["removed"]]
    for one in found["changed"]:
        old, new = one["before"], one["after"]
        versions = (
            f"{old['version']} → {new['version']}"
            if old["version"] != new["version"]
            else f"{new['version'] or ''} (other build)"
        )
        rows.append(("~", new["name"], versions, size_text(new["size"])))
    python = found["python"]
    if python["before"] is not None and python["before"] != python["after"]:
        rows.append(("~", "python", f"{python['before']} → {python['after']}", ""))
    debian = found["debian"]
    for sign, key in (("+", "added"), ("-", "removed")):
        rows += [(sign, one["name"], one["version"], "") for one in debian[key] if one["direct"]]
    rows += [
        ("~", one["after"]["name"], f"{one['before']['version']} → {one['after']['version']}", "")
        for one in debian["changed"]
    ]
    return rows


def counts(found: Mapping[str, Any]) -> str:
    """Return changes in a few words, such as `+3 -1 ~2, Debian +2`; `=` when there are none."""
    kinds = (("+", "added"), ("-", "removed"), ("~", "changed"))
    parts = [
        head + " ".join(f"{sign}{len(below[key])}" for sign, key in kinds if below[key])
        for head, below in (("", found), ("Debian ", found["debian"]))
        if any(below[key] for _, key in kinds)
    ]
    return ", ".join(parts) or "="


def size_text(size: int | None) -> str:
    """Return bytes as people say them; empty when unknown."""
    if size is None:
        return ""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:  # noqa: PLR2004 - what would round to 1000
        value, units = value / 1000, units[1:]
    digits = 1 if units[0] != "B" and value < 99.95 else 0  # noqa: PLR2004 - three digits
    return f"{value:.{digits}f} {units[0]}"


def _marked(text: str) -> str:
    """Return HTML: what stands between backquotes is code."""
    parts = html.escape(text).replace("\n", "<br>").split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
