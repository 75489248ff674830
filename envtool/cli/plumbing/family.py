"""The family `envtool store`: which theme adds which of its commands."""

from collections.abc import Callable, Mapping

from envtool.cli.arguments import Commands, Parser, add_family

__all__ = ["THEMES", "add_store"]


def _archives(family: "Commands[Parser]") -> None:
    from envtool.cli.plumbing import archives

    archives.add_commands(family)


def _contents(family: "Commands[Parser]") -> None:
    from envtool.cli.plumbing import contents

    contents.add_commands(family)


def _information(family: "Commands[Parser]") -> None:
    from envtool.cli.plumbing import information

    information.add_commands(family)


def _relations(family: "Commands[Parser]") -> None:
    from envtool.cli.plumbing import relations

    relations.add_commands(family)


def _deleting(family: "Commands[Parser]") -> None:
    from envtool.cli.plumbing import deleting

    deleting.add_commands(family)


def _collecting(family: "Commands[Parser]") -> None:
    from envtool.cli.plumbing import collecting

    collecting.add_commands(family)


def _optimise(family: "Commands[Parser]") -> None:
    from envtool.cli.plumbing import optimise

    optimise.add_commands(family)


def _verify(family: "Commands[Parser]") -> None:
    from envtool.cli.plumbing import verify

    verify.add_commands(family)


THEMES: Mapping[Callable[["Commands[Parser]"], None], tuple[str, ...]] = {
    _archives: ("add", "dump", "restore", "hash"),
    _contents: ("ls", "cat"),
    _information: ("path-info", "deriver", "log", "diff-closures"),
    _relations: ("references", "referrers", "closure", "roots", "why-depends", "graph"),
    _deleting: ("delete",),
    _collecting: ("gc",),
    _optimise: ("optimise",),
    _verify: ("verify",),
}
"""What adds which commands, so that a command line costs the parser of its own theme only."""


def add_store(commands: "Commands[Parser]", below: str | None = None) -> None:
    """Add `store` with all its commands, or those of the theme that one of them belongs to."""
    family = add_family(
        commands,
        "store",
        summary="look into the store and keep it in order",
        text="""
        A PATH is a store path, its base name, eight or more digits of its digest, a link that
        leads into the store (./result), or an environment of the project (`default`, `default@3`
        for its generation 3); behind each may stand a file below it (`default/pylock.toml`).
        No project is needed for the others.
        """,
    )
    themes = [add for add, names in THEMES.items() if below in names]
    for add in themes or THEMES:
        add(family)
