"""Files in store objects: `store ls` and `store cat`."""

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.plumbing.places import Asked, take_path
from envtool.cli.plumbing.shown import path_json, show
from envtool.cli.session import Session
from envtool.machine.asking import inside

__all__ = ["add_commands"]

_CHUNK = 1 << 20
_MODES = {
    "regular": "-r--r--r--",
    "executable": "-r-xr-xr-x",
    "directory": "dr-xr-xr-x",
    "symlink": "lrwxrwxrwx",
    "other": "?---------",
}


def add_commands(family: "Commands[Parser]") -> None:
    """Add the commands of this theme."""
    parser = add_command(
        family,
        "ls",
        _run_ls,
        summary="list the files of a store object",
        text="""
        Links on the way to PATH are followed, but not out of the store; those in the listing are
        shown as what they are.
        """,
        examples=[
            ("envtool store ls default", "the files of the current generation"),
            ("envtool store ls -lR 0c5b8vw4/lib", "with sizes, folders in folders too"),
        ],
    )
    take_path(parser, metavar="PATH[/FOLDER]")
    parser.add_argument("-l", "--long", action="store_true", help="modes, sizes, links' targets")
    parser.add_argument("-R", "--recursive", action="store_true", help="what is in folders too")
    parser = add_command(
        family,
        "cat",
        _run_cat,
        summary="print a file of a store object",
        text="""
        Writes the bytes of the file as they are. Links are followed, but not out of the store:
        an object from elsewhere cannot make this show another file of yours.
        """,
        examples=[
            ("envtool store cat default@3/pylock.toml", "the lock of generation 3"),
            ("envtool store cat 0c5b8vw4", "an object that is a single file"),
        ],
    )
    take_path(parser, metavar="PATH[/FILE]")


def _run_ls(session: Session, arguments: Namespace) -> int:
    asked = Asked(session)
    top = asked.entry(arguments.path)
    if top.kind == "directory":
        found = list(inside.entries(top, recursive=arguments.recursive))
        skipped = len(top.inside) + 1 if top.inside else 0
        named = [(entry.inside[skipped:], entry) for entry in found]
    else:
        named = [(top.inside.rpartition("/")[2] or str(top.path), top)]
    shape = path_json(asked, top.path, inside=top.inside)
    shape["entries"] = [_entry_json(name, entry) for name, entry in named]
    return show(asked, shape, _lines(named, long=arguments.long))


def _lines(named: list[tuple[str, inside.Entry]], *, long: bool) -> Iterator[str]:
    width = max((len(str(entry.size)) for _, entry in named), default=0)
    for name, entry in named:
        target = "" if entry.target is None else f" -> {entry.target}"
        detail = f"{_MODES[entry.kind]}  {entry.size:>{width}}  "
        yield f"{detail}{name}{target}" if long else name


def _entry_json(name: str, entry: inside.Entry) -> dict[str, Any]:
    return {"name": name, "kind": entry.kind, "size": entry.size, "target": entry.target}


def _run_cat(session: Session, arguments: Namespace) -> int:
    asked = Asked(session)
    entry = asked.entry(arguments.path)
    with open(inside.open_file(entry), "rb", buffering=0) as file:
        if session.terminal.json:
            shape = path_json(asked, entry.path, inside=entry.inside, size=entry.size)
            session.terminal.result_json({**shape, **_contents_json(file.read())})
            return 0
        while data := file.read(_CHUNK):
            session.terminal.result_bytes(data)
    return 0


def _contents_json(data: bytes) -> dict[str, Any]:
    """Return `text` for UTF-8, `base64` for anything else; the other is null."""
    try:
        return {"text": data.decode(), "base64": None}
    except UnicodeDecodeError:
        from base64 import b64encode

        return {"text": None, "base64": b64encode(data).decode()}
