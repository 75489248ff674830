"""What needs what: `store references`, `referrers`, `closure`, `roots`, `why-depends`, `graph`."""

from argparse import Namespace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.plumbing.places import Asked, take_path, take_paths
from envtool.cli.plumbing.shown import path_json, print_paths, show
from envtool.cli.session import Session
from envtool.formats.printable import escaped
from envtool.machine.asking import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.asking.inside import Mention
    from envtool.machine.graph import Graph

__all__ = ["add_commands"]

_MOST_FILES = 3
_DEEPEST = 50
"""Steps that are indented; of those further down the number is told instead."""


def add_commands(family: "Commands[Parser]") -> None:
    """Add the commands of this theme."""
    _add_references(family)
    _add_closure(family)
    _add_roots(family)
    _add_why(family)
    _add_graph(family)


def _add_references(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "references",
        _run_references,
        summary="list what store paths refer to",
        text="""
        The objects whose digests occur in the contents of PATH, one to a line: what it needs at
        first hand, itself too where it names itself. `closure` goes on to what those need.
        """,
        examples=[
            ("envtool store references default", "what the current generation refers to"),
            ("envtool store references ./result --json", "for a script"),
        ],
    )
    take_paths(parser)
    parser = add_command(
        family,
        "referrers",
        _run_referrers,
        summary="list what refers to store paths",
        text="""
        The valid objects in whose contents the digest of PATH occurs; with --closure also what
        refers to those, and so on, and PATH itself: all that would break without it.
        """,
        examples=[
            ("envtool store referrers 0c5b8vw4", "by the first digits of the digest"),
            ("envtool store referrers --closure 0c5b8vw4", "at first and at any other hand"),
        ],
    )
    take_paths(parser)
    parser.add_argument("--closure", action="store_true", help="also what refers to those")


def _add_closure(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "closure",
        _run_closure,
        summary="list everything that store paths need",
        text="""
        PATH, what it refers to, what that refers to, and so on: what has to be copied for it to
        work elsewhere. With --sizes each line begins with the size of the object and that of its
        own closure, the largest objects first.
        """,
        examples=[
            ("envtool store closure default", ""),
            ("envtool store closure --sizes default", "where the space goes"),
        ],
    )
    take_paths(parser)
    parser.add_argument("--sizes", action="store_true", help="own and closure sizes")


def _add_roots(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "roots",
        _run_roots,
        summary="list the GC roots, or those that keep a store path alive",
        text="""
        A root is a generation, a link such as ./result, or a running process: the collector
        keeps its closure, and the derivations that this was realised from. With PATH only the
        roots that lead to it are listed; `why-depends` shows the way.
        """,
        examples=[
            ("envtool store roots", "all of them"),
            ("envtool store roots 0c5b8vw4", "why is this not deleted?"),
        ],
    )
    action = parser.add_argument("path", metavar="PATH", nargs="?", help="what is kept alive")
    completed_by(action, "store paths")


def _add_why(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "why-depends",
        _run_why,
        summary="show why one store path needs another",
        text="""
        The shortest chain of references from PATH to OTHER, and below each step the files in
        which the reference stands. With --all every way is drawn as a tree; what was shown
        before is marked (*).
        """,
        examples=[
            ("envtool store why-depends default 0c5b8vw4", ""),
            ("envtool store why-depends --all ./result 0c5b8vw4", "every way there is"),
        ],
    )
    take_path(parser)
    take_path(parser, "other", metavar="OTHER", what="what PATH needs")
    parser.add_argument("--all", action="store_true", help="every way, not one of the shortest")


def _add_graph(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "graph",
        _run_graph,
        summary="draw the closure of store paths",
        text="""
        Prints the graph of references in graphviz' language DOT, an arrow from each object to
        what it refers to; with --svg the picture that graphviz makes of it.
        """,
        examples=[
            ("envtool store graph default > closure.dot", ""),
            ("envtool store graph --svg default > closure.svg", "needs graphviz"),
        ],
    )
    take_paths(parser)
    parser.add_argument("--svg", action="store_true", help="draw it with graphviz' dot")


def _run_references(session: Session, arguments: Namespace) -> int:
    asked = Asked(session)
    found = queries.references(asked.database, asked.paths(arguments.paths))
    return _print_related(asked, "references", found)


def _run_referrers(session: Session, arguments: Namespace) -> int:
    asked = Asked(session)
    paths = asked.paths(arguments.paths)
    if arguments.closure:
        found = {path: queries.referrers_closure(asked.database, [path]) for path in paths}
    else:
        found = {path: sorted(asked.database.referrers(path)) for path in paths}
    return _print_related(asked, "referrers", found)


def _print_related(asked: Asked, key: str, found: "dict[StorePath, list[StorePath]]") -> int:
    """Print the union as text; JSON tells what belongs to which."""
    shape = {
        "paths": [
            path_json(asked, path, **{key: [each.full() for each in related]})
            for path, related in found.items()
        ]
    }
    return print_paths(
        asked, shape, sorted({each for related in found.values() for each in related})
    )


def _run_closure(session: Session, arguments: Namespace) -> int:
    from envtool.cli.render import table
    from envtool.cli.terminal import size_text

    asked = Asked(session)
    paths = asked.paths(arguments.paths)
    sizes = queries.closure(asked.database, paths)
    total = sum(sizes.values())
    if not arguments.sizes:
        told = [path_json(asked, path, nar_size=size) for path, size in sizes.items()]
        return print_paths(asked, {"paths": told, "size": total}, sizes)
    whole = queries.closure_sizes(asked.database.requisites(paths), sizes)
    order = sorted(sizes, key=lambda path: (-sizes[path], path))
    told = [
        path_json(asked, path, nar_size=sizes[path], closure_size=whole[path]) for path in order
    ]
    rows = [
        (size_text(sizes[path]), size_text(whole[path]), asked.physical(path)) for path in order
    ]
    rows.append((size_text(total), "", "altogether"))
    return show(asked, {"paths": told, "size": total}, table(rows, right=[0, 1]))


def _run_roots(session: Session, arguments: Namespace) -> int:
    from envtool.machine.collecting.roots import find_roots

    asked = Asked(session)
    path = None if arguments.path is None else asked.path(arguments.path)
    roots = find_roots(asked.settings)
    if path is not None:
        kept_by = queries.keepers(asked.database, path)
        roots = [root for root in roots if root.path in kept_by]
    shape: dict[str, Any] = {
        "roots": [path_json(asked, root.path, kind=root.kind, source=root.source) for root in roots]
    }
    lines = [f"{root.kind:<9}  {root.source} -> {asked.physical(root.path)}" for root in roots]
    if path is None:
        return show(asked, shape, lines or ["no roots: nothing is kept from `envtool gc`"])
    shape = path_json(asked, path, **shape)
    return show(asked, shape, lines or [f"nothing keeps {path}: `envtool gc` would delete it"])


def _run_why(session: Session, arguments: Namespace) -> int:
    from envtool.errors import StoreError

    asked = Asked(session)
    top, bottom = asked.paths([arguments.path])[0], asked.path(arguments.other)
    graph = queries.between(asked.database, top, bottom)
    chain = queries.shortest(graph, top, bottom)
    if not chain:
        raise StoreError(
            f"{top} does not need {bottom}", hint=f"envtool store closure {arguments.path}"
        )
    if arguments.all:
        return _print_tree(asked, graph, top, bottom)
    return _print_chain(asked, chain)


def _print_chain(asked: Asked, chain: "list[StorePath]") -> int:
    told, lines = [], [asked.physical(chain[0])]
    for depth, (path, reference) in enumerate(pairwise(chain)):
        found = list(_mentions(asked, path, reference))
        lead = _lead(depth)
        lines += [f"{lead}  {_mention_text(each)}" for each in found[:_MOST_FILES]]
        if len(found) > _MOST_FILES:
            lines.append(f"{lead}  … and {len(found) - _MOST_FILES} more")
        lines.append(f"{lead}└───{asked.physical(reference)}")
        where = [{"file": each.inside, "how": each.how} for each in found]
        told.append(path_json(asked, path, reference=reference.full(), found=where))
    return show(asked, {"chain": told}, lines)


def _print_tree(asked: Asked, graph: "Graph", top: "StorePath", bottom: "StorePath") -> int:
    lines = []
    for path, depth, again in queries.chains(graph, top):
        mark = "  (*)" if again and path != bottom else ""
        branch = f"{_lead(depth - 1)}└───" if depth else ""
        lines.append(f"{branch}{asked.physical(path)}{mark}")
    edges = [
        {"path": path.full(), "reference": reference.full()}
        for path in sorted(graph)
        for reference in sorted(graph[path])
    ]
    return show(asked, {"references": edges}, lines)


def _lead(depth: int) -> str:
    return "    " * depth if depth <= _DEEPEST else f"{'    ' * _DEEPEST}{depth} "


def _mentions(asked: Asked, path: "StorePath", reference: "StorePath") -> "Iterator[Mention]":
    from envtool.machine.asking.inside import mentions

    return mentions(asked.settings.store, path, reference)


def _mention_text(mention: "Mention") -> str:
    name = escaped(mention.inside) or "the object itself"
    return {"contents": name, "target": f"{name} (a link)", "name": f"{name} (its name)"}[
        mention.how
    ]


def _run_graph(session: Session, arguments: Namespace) -> int:
    from envtool.cli.terminal import size_text
    from envtool.machine.asking import dot

    asked = Asked(session)
    paths = asked.paths(arguments.paths)
    graph = asked.database.requisites(paths)
    sizes = queries.closure(asked.database, paths)
    labels = {path: f"{path.name}\n{size_text(size)}" for path, size in sizes.items()}
    text = dot.render(graph, labels)
    if arguments.svg:
        text = dot.draw(text)
        return show(asked, {"svg": text}, text.splitlines())
    told = [
        path_json(
            asked,
            path,
            nar_size=sizes[path],
            references=[each.full() for each in sorted(graph[path])],
        )
        for path in sorted(graph)
    ]
    return show(asked, {"paths": told}, text.splitlines())
