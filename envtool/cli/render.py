"""Plans, generations and packages as text for people and as JSON for scripts.

The JSON keeps its keys: new ones may come, none goes or changes its meaning. Sizes are bytes,
times are RFC 3339 in UTC, store paths are logical (`/envtool/store/…`), and what is unknown or
absent is null.

    package     {"name", "version", "path", "size", "direct", "requires": [name]}
    changes     {"added": [package], "removed": [package],
                 "changed": [{"before": package, "after": package}],
                 "python": {"before", "after"}, "interpreter": {"before", "after"},
                 "debian": {"added": [deb], "removed": [deb],
                            "changed": [{"before": deb, "after": deb}]}}
    deb         {"name", "version", "use", "direct"}
    plan        {"environment", "up_to_date", "lock_changed", "fetch": [{"label", "size"}],
                 "fetch_size", "build": [{"label", "size"}], "changes"}
    generation  {"number", "path", "created", "current", "environment", "python", "impure",
                 "size", "packages": [package], "changes", "used_by": [process]}
"""

import time
from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

from envtool.cli.terminal import Style, Terminal, size_text
from envtool.values import asdict

if TYPE_CHECKING:
    from envtool.formats.changes import Changes
    from envtool.formats.generation import Package
    from envtool.formats.ground import Deb
    from envtool.formats.outcomes import Generation, Pending, Plan

__all__ = [
    "changes_json",
    "changes_lines",
    "counts_text",
    "generation_json",
    "generation_line",
    "generation_lines",
    "package_json",
    "plan_json",
    "plan_lines",
    "plural",
    "table",
    "tree_lines",
]


def plural(count: int, noun: str) -> str:
    """Return `1 package` or `2 packages`."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{'' if count == 1 else ending}"


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return rows as aligned lines; the columns numbered in `right` are flush right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))] if rows else []
    return [
        "  ".join(
            cell.rjust(widths[at]) if at in right else cell.ljust(widths[at])
            for at, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]


def changes_lines(changes: "Changes", terminal: Terminal) -> list[str]:
    """Return a line for each package that came, went or changed, and one for the interpreter.

    What came or went of Debian because something else needs it is counted only, unless verbose.
    """
    rows = [("+", each.name, each.version or "", _size(each.size)) for each in changes.added]
    rows += [("-", each.name, each.version or "", _size(each.size)) for each in changes.removed]
    for old, new in changes.changed:
        rows.append(("~", old.name, _versions(old, new), _growth(old.size, new.size)))
    rows += _interpreter_row(changes)
    debs, counted = _deb_rows(changes, everything=terminal.verbose)
    rows += debs
    lines = [
        terminal.style(line, _STYLES[row[0]])
        for line, row in zip(table(rows, right=[3]), rows, strict=True)
    ]
    return [f"  {line}" for line in [*lines, *counted]]


_STYLES: Mapping[str, Style] = {"+": "green", "-": "red", "~": "yellow"}


def _interpreter_row(changes: "Changes") -> list[tuple[str, str, str, str]]:
    (before, after), (former, now) = changes.python, changes.source
    if before is None or not changes.has_other_python:
        return []
    if former == now:
        return [("~", "python", f"{before} -> {after or 'none'}", "")]
    return [("~", "python", f"{before} ({former or 'none'}) -> {after} ({now})", "")]


def _deb_rows(
    changes: "Changes", *, everything: bool
) -> tuple[list[tuple[str, str, str, str]], list[str]]:
    """Return rows for packages of Debian, and lines that count those that have none."""
    rows: list[tuple[str, str, str, str]] = []
    counted: list[str] = []
    for sign, debs in (("+", changes.debs_added), ("-", changes.debs_removed)):
        shown = [each for each in debs if each.direct or everything]
        rows += [(sign, each.name, each.version, _use(each)) for each in shown]
        rest = len({each.name for each in debs} - {each.name for each in shown})
        more = "other package" if shown else "package"
        counted += [f"{sign}  {plural(rest, more)} of Debian"] if rest else []
    for old, new in changes.debs_changed:
        rows.append(("~", old.name, f"{old.version} -> {new.version}", _use(new)))
    return list(dict.fromkeys(rows)), counted


def _use(deb: "Deb") -> str:
    return "Debian" if deb.use == "system" else f"Debian, {deb.use}"


def counts_text(changes: "Changes") -> str:
    """Return the changes in a few words, such as `+3 -1 ~2, python, Debian +2`; `=` for none."""
    parts = [_counts(changes.added, changes.removed, changes.changed)]
    if changes.python[0] is not None and changes.has_other_python:
        parts.append("python")
    debs = _counts(changes.debs_added, changes.debs_removed, changes.debs_changed)
    parts += [f"Debian {debs}"] if debs else []
    return ", ".join(filter(None, parts)) or "="


def _counts(added: Sized, removed: Sized, changed: Sized) -> str:
    counts = zip("+-~", map(len, (added, removed, changed)), strict=True)
    return " ".join(f"{sign}{count}" for sign, count in counts if count)


def generation_line(generation: "Generation", terminal: Terminal) -> str:
    """Return what a generation is, such as `generation 4 of demo: python 3.11.2, …`."""
    record = generation.record
    impure = ", impure" if record.impure else ""
    return (
        f"{terminal.style(f'generation {generation.number}', 'bold')} of {record.name}: "
        f"python {record.python}{impure}, {plural(len(record.packages), 'package')}, "
        f"{size_text(generation.size)}"
    )


def generation_lines(generations: Sequence["Generation"], terminal: Terminal) -> list[str]:
    """Return a table of generations, the current one marked."""
    rows = [
        (
            "*" if generation.current else " ",
            str(generation.number),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(generation.created)),
            counts_text(generation.changes),
            size_text(generation.size),
            f"python {generation.record.python}{' (impure)' if generation.record.impure else ''}",
            plural(len(generation.record.packages), "package"),
            f"in use by {plural(len(generation.used_by), 'process')}" if generation.used_by else "",
        )
        for generation in generations
    ]
    lines = table(rows, right=[1, 4, 6])
    return [
        terminal.style(line, "bold") if generation.current else line
        for line, generation in zip(lines, generations, strict=True)
    ]


def plan_lines(plan: "Plan", terminal: Terminal) -> list[str]:
    """Return what switching would do, each artifact and derivation with its size."""
    lines = []
    if plan.lock_changed:
        lines.append("would lock: the lock does not answer the declaration")
    lines += _pending("fetch", "artifact", plan.fetch, plan.fetch_size)
    lines += _pending("build", "derivation", plan.build, None)
    changed = changes_lines(plan.changes, terminal)
    if changed:
        lines += [f"would change {counts_text(plan.changes)}", *changed]
    return lines or ["nothing to do"]


def tree_lines(packages: Sequence["Package"], *, unicode: bool) -> list[str]:
    """Return the tree that hangs from the direct requirements.

    A package met again is marked `(*)` and its branch is not repeated; what no direct
    requirement leads to stands at the end, at the left edge.
    """
    known = {package.name: package for package in packages}
    shown: set[str] = set()
    lines: list[str] = []
    for package in sorted(packages, key=lambda package: (not package.direct, package.name)):
        if package.direct or package.name not in shown:
            lines += _branch(package, known, shown, _UNICODE if unicode else _ASCII)
    return lines


def package_json(package: "Package") -> dict[str, Any]:
    """Return a package in the shape that this module's text gives."""
    return {
        "name": package.name,
        "version": package.version,
        "path": None if package.path is None else package.path.full(),
        "size": package.size,
        "direct": package.direct,
        "requires": list(package.requires),
    }


def changes_json(changes: "Changes") -> dict[str, Any]:
    """Return changes in the shape that this module's text gives."""
    before, after = changes.python
    return {
        "added": [package_json(package) for package in changes.added],
        "removed": [package_json(package) for package in changes.removed],
        "changed": [
            {"before": package_json(old), "after": package_json(new)}
            for old, new in changes.changed
        ],
        "python": {"before": before, "after": after},
        "interpreter": dict(zip(("before", "after"), changes.source, strict=True)),
        "debian": {
            "added": [asdict(deb) for deb in changes.debs_added],
            "removed": [asdict(deb) for deb in changes.debs_removed],
            "changed": [
                {"before": asdict(old), "after": asdict(new)} for old, new in changes.debs_changed
            ],
        },
    }


def plan_json(plan: "Plan") -> dict[str, Any]:
    """Return a plan in the shape that this module's text gives."""
    return {
        "environment": plan.environment.full(),
        "up_to_date": plan.up_to_date,
        "lock_changed": plan.lock_changed,
        "fetch": [{"label": one.label, "size": one.size} for one in plan.fetch],
        "fetch_size": plan.fetch_size,
        "build": [{"label": one.label, "size": one.size} for one in plan.build],
        "changes": changes_json(plan.changes),
    }


def generation_json(generation: "Generation") -> dict[str, Any]:
    """Return a generation in the shape that this module's text gives."""
    record = generation.record
    return {
        "number": generation.number,
        "path": generation.path.full(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(generation.created)),
        "current": generation.current,
        "environment": record.environment.full(),
        "python": record.python,
        "impure": record.impure,
        "size": generation.size,
        "packages": [package_json(package) for package in record.packages],
        "changes": changes_json(generation.changes),
        "used_by": list(generation.used_by),
    }


_UNICODE = ("├── ", "└── ", "│   ", "    ")
_ASCII = ("|-- ", "`-- ", "|   ", "    ")


def _branch(
    top: "Package", known: dict[str, "Package"], shown: set[str], glyphs: tuple[str, str, str, str]
) -> Iterator[str]:
    # A stack, not recursion: a chain of requirements may be longer than Python's stack.
    stack = [(top.name, "", "")]
    while stack:
        name, lead, below = stack.pop()
        package = known.get(name)
        size = f"  {_size(package.size)}" if package and package.size is not None else ""
        again = name in shown and bool(package and package.requires)
        yield f"{lead}{name} {package.version or '' if package else ''}".rstrip() + (
            "  (*)" if again else size
        )
        if package is None or name in shown:
            continue
        shown.add(name)
        last = len(package.requires) - 1
        for at in range(last, -1, -1):
            branch, bar = (glyphs[1], glyphs[3]) if at == last else (glyphs[0], glyphs[2])
            stack.append((package.requires[at], below + branch, below + bar))


def _pending(verb: str, noun: str, pending: Sequence["Pending"], size: int | None) -> Iterator[str]:
    if not pending:
        return
    told = "" if size is None else f", {size_text(size)}"
    yield f"would {verb} {plural(len(pending), noun)}{told}"
    rows = [(one.label, _size(one.size)) for one in pending]
    yield from (f"  {line}" for line in table(rows, right=[1]))


def _versions(old: "Package", new: "Package") -> str:
    if old.version == new.version:
        return f"{new.version or ''} (other build)".strip()
    return f"{old.version or 'unversioned'} -> {new.version or 'unversioned'}"


def _size(size: int | None) -> str:
    return "" if size is None else size_text(size)


def _growth(old: int | None, new: int | None) -> str:
    if old is None or new is None or old == new:
        return ""
    return f"{'+' if new > old else ''}{size_text(new - old)}"
