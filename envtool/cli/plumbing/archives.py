"""Trees as NARs and hashes: `store add`, `dump`, `restore`, `hash`."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.options import UsageError
from envtool.cli.plumbing.places import Asked
from envtool.cli.plumbing.shown import path_json, print_paths, show
from envtool.cli.session import Session
from envtool.errors import FormatError, StoreError
from envtool.formats.nix import nar
from envtool.formats.nix.hashing import DIGEST_SIZES, Hash
from envtool.formats.nix.restore import restore
from envtool.formats.nix.storepath import StorePath, check_name
from envtool.machine.disk import disk_errors

if TYPE_CHECKING:
    from envtool.cli.terminal import Terminal

__all__ = ["add_commands"]

_SPELLINGS: dict[str, Callable[[Hash], str]] = {
    "sri": lambda each: each.sri,
    "base16": lambda each: each.base16,
    "nix32": lambda each: each.nix32,
    "base64": lambda each: each.base64,
}


def add_commands(family: "Commands[Parser]") -> None:
    """Add the commands of this theme."""
    _add_add(family)
    _add_dump(family)
    _add_hash(family)


def _add_add(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "add",
        _run_add,
        summary="add files or folders to the store",
        text="""
        Copies each and prints where it lies then. The same contents under the same name get the
        same store path on every machine; what is there already is not copied again. Nothing
        keeps it from `envtool gc` but --link, or something that refers to it.
        """,
        examples=[
            ("envtool store add data/", "a folder, by the hash of its NAR"),
            ("envtool store add --flat data.csv", "a file, by the hash of its contents"),
            ("envtool store add --link data.link data/", "kept until data.link is deleted"),
        ],
    )
    files = parser.add_argument("files", metavar="FILE", nargs="+", help="a file or a folder")
    completed_by(files, "files")
    parser.add_argument("--name", help="how it is called in the store (default: as the file)")
    parser.add_argument("--flat", action="store_true", help="by the contents of a single file")
    link = parser.add_argument("--link", metavar="LINK", help="make a link that is a GC root")
    completed_by(link, "files")


def _add_dump(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "dump",
        _run_dump,
        summary="write a store object or any file as a NAR",
        text="""
        The archive goes to standard output, or to the file of --output. It holds names, contents,
        execute bits and symlinks, nothing else, and is the same on every machine.
        """,
        examples=[
            ("envtool store dump default | xz > generation.nar.xz", ""),
            ("envtool store dump --output data.nar data/", "a folder outside of the store"),
        ],
    )
    _take_tree(parser, "path", metavar="PATH")
    output = parser.add_argument("--output", metavar="FILE", help="write it there")
    completed_by(output, "files")
    parser = add_command(
        family,
        "restore",
        _run_restore,
        summary="unpack a NAR",
        text="""
        Reads the archive from standard input and makes TARGET of it, which must not exist.
        Nothing outside of TARGET is touched, and of a malformed archive nothing stays.
        """,
        examples=[
            ("envtool store restore copy < data.nar", ""),
            ("envtool store dump default | envtool store restore copy", "a copy to edit"),
        ],
    )
    target = parser.add_argument("target", metavar="TARGET", help="what to make")
    completed_by(target, "files")


def _add_hash(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "hash",
        _run_hash,
        summary="print the hashes of files, folders or store objects",
        text="""
        One hash to a line, of the NAR of each, or with --flat of a file's contents. It is SRI
        (sha256-…, base 64) unless another spelling is asked for; those are without the name of
        the algorithm.
        """,
        examples=[
            ("envtool store hash data/", "as `path-info` has it once it is added"),
            ("envtool store hash --flat --base16 data.csv", "as sha256sum prints it"),
        ],
    )
    _take_tree(parser, "files", metavar="FILE", nargs="+")
    parser.add_argument(
        "--type", choices=DIGEST_SIZES, default="sha256", help="algorithm (default: sha256)"
    )
    parser.add_argument("--flat", action="store_true", help="of the contents, without a NAR")
    group = parser.add_mutually_exclusive_group()
    told = {
        "base16": "hexadecimal",
        "nix32": "Nix's base 32, as in store paths",
        "sri": "W3C's form (default)",
        "base64": "base 64 alone",
    }
    for spelling, what in told.items():
        group.add_argument(
            f"--{spelling}", dest="spelling", action="store_const", const=spelling, help=what
        )


def _take_tree(parser: Parser, name: str, **settings: Any) -> None:
    action = parser.add_argument(name, help="a file, a folder, or a PATH of the store", **settings)
    completed_by(action, "store paths")


def _tree(asked: Asked, word: str) -> str:
    """Return the tree that is meant: a file as it is, unless it leads into the store."""
    if os.path.lexists(word) and asked.led(word) is None:
        return word
    return asked.entry(word).place


def _run_add(session: Session, arguments: Namespace) -> int:
    asked = Asked(session)
    named = [(file, _name(file, arguments.name)) for file in arguments.files]
    if len(named) > 1 and (arguments.name or arguments.link):
        raise UsageError("--name and --link are for one FILE", hint="add them one by one")
    with asked.store.using():
        paths = [_added(asked, file, name, flat=arguments.flat) for file, name in named]
        if asked.settings.optimise_all:
            from envtool.machine.sharing.optimise import optimise_added

            optimise_added(asked.store, paths)
        if arguments.link:
            from envtool.machine.collecting.roots import add_indirect

            with asked.store.shared():
                add_indirect(asked.settings, arguments.link, paths[0])
    return print_paths(asked, {"paths": [path_json(asked, path) for path in paths]}, paths)


def _name(file: str, given: str | None) -> str:
    """Return how a file is called in the store."""
    name = given or os.path.basename(os.path.abspath(file))
    try:
        return check_name(name)
    except FormatError as error:
        hint = None if given else f"envtool store add --name NAME {file!a}"
        raise FormatError(f"{file!a} cannot be added: {error.message}", hint=hint) from error


def _added(asked: Asked, file: str, name: str, *, flat: bool) -> StorePath:
    if flat:
        from envtool.machine.flat import add_flat

        return add_flat(asked.store, file, name)
    return asked.store.add_tree(file, name)


def _run_dump(session: Session, arguments: Namespace) -> int:
    asked, terminal = Asked(session), session.terminal
    if arguments.output is None:
        if terminal.json or sys.stdout.isatty():
            what = "JSON" if terminal.json else "for a terminal"
            raise UsageError(
                f"dump writes an archive to standard output, which is not {what}",
                hint=f"envtool store dump {arguments.path} --output FILE",
            )
        with _reading(arguments.path):
            _Printer(terminal).dump(_tree(asked, arguments.path))
        return 0
    tree, counted = _tree(asked, arguments.path), nar.HashingSink()
    with _written(arguments.output) as write, _reading(arguments.path):
        nar.dump(tree, _both(counted, write))
    shape = {"output": arguments.output, "nar_hash": counted.hash.sri, "nar_size": counted.size}
    return show(asked, shape, [])


class _Printer(nar.Dumper):
    """Writes an archive to standard output."""

    def __init__(self, terminal: "Terminal") -> None:
        super().__init__(terminal.result_bytes)
        self._terminal = terminal

    def sent(self, descriptor: int, size: int) -> int:
        """Let the kernel copy what is large."""
        return self._terminal.result_file(descriptor, size)


def _both(first: nar.Sink, second: nar.Sink) -> nar.Sink:
    def sink(data: bytes) -> None:
        first(data)
        second(data)

    return sink


@contextmanager
def _written(output: str) -> Iterator[nar.Sink]:
    """Give what writes to a new file, which replaces the old one if all went well."""
    temporary = f"{output}.tmp-{os.getpid()}"

    def write(data: bytes) -> None:
        with disk_errors(f"write {output}"):
            file.write(data)

    with disk_errors(f"write {output}"):
        file = open(temporary, "xb")  # noqa: SIM115 - closed below
    try:
        yield write
        with disk_errors(f"write {output}"):
            file.close()
            os.rename(temporary, output)
    except BaseException:
        with suppress(OSError):
            file.close()
        os.unlink(temporary)
        raise


@contextmanager
def _reading(word: str) -> Iterator[None]:
    """Explain what cannot be read; a reader of ours who has left is no such thing."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        with disk_errors(f"read {word}"):
            raise error from None


def _run_restore(session: Session, arguments: Namespace) -> int:
    asked, target = Asked(session), arguments.target
    if sys.stdin.isatty():
        raise UsageError(
            "restore reads an archive from standard input, which is a terminal",
            hint=f"envtool store restore {target} < FILE",
        )
    store, real = os.path.realpath(asked.settings.store), os.path.realpath(target)
    if real == store or real.startswith(f"{store}/"):
        raise StoreError(f"{target} lies in the store, where only whole objects are added")
    with (
        disk_errors(f"restore {target}"),
        open(sys.stdin.fileno(), "rb", buffering=nar.CHUNK, closefd=False) as source,
    ):
        restore(source, target)
    return show(asked, {"target": os.path.abspath(target)}, [])


def _run_hash(session: Session, arguments: Namespace) -> int:
    asked = Asked(session)
    spell = _SPELLINGS[arguments.spelling or "sri"]
    told, lines = [], []
    for file in arguments.files:
        tree = _tree(asked, file)
        with _reading(file):
            found, size = _hashed(tree, arguments.type, flat=arguments.flat)
        told.append({"file": file, "algorithm": arguments.type, "hash": spell(found), "size": size})
        lines.append(spell(found))
    return show(asked, {"hashes": told}, lines)


def _hashed(tree: str, algorithm: str, *, flat: bool) -> tuple[Hash, int]:
    """Return the hash, and how many bytes it is of."""
    import hashlib

    made = hashlib.new(algorithm, usedforsecurity=False)
    size = 0

    def sink(data: bytes) -> None:
        nonlocal size
        made.update(data)
        size += len(data)

    with nar.aside(sink) as feed:
        if flat:
            with open(tree, "rb", buffering=0) as file:
                while data := file.read(nar.CHUNK):
                    feed(data)
        else:
            nar.dump(tree, feed)
    return Hash(algorithm, made.digest()), size
