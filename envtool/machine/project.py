"""The files a declaration and its lock live in: found, read, and replaced atomically."""

from __future__ import annotations

import os
import stat

from envtool.errors import DeclarationError, EnvtoolError, LockError, one_fault
from envtool.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from envtool.formats.declarations.declaration import Declaration, Kind

__all__ = [
    "Project",
    "check_writable",
    "declaration_text",
    "find",
    "find_above",
    "lock_path",
    "lock_place",
    "read",
    "read_lock_text",
    "read_text",
    "replace_declaration",
    "write_declaration",
    "write_lock_text",
]

_BLANKS = b" \t"


@value
class Project:
    """Which declaration is meant, and which environment of it."""

    path: str
    """Absolute path of the declaration's file."""
    kind: Kind
    environment: str
    """`default` or the name of an `[env.NAME]` table."""

    @property
    def folder(self) -> str:
        """Absolute folder of the declaration; relative paths in it start here."""
        return os.path.dirname(self.path)


def find(start: str, *, file: str | None = None) -> tuple[str, Kind]:
    """Return the absolute path and the kind of the declaration that holds in a folder.

    `file` (relative to `start`, or absolute) is taken as it is. Without it the first folder
    upwards counts that has an `envtool.toml`, or a `pyproject.toml` with `[project]` or
    `[tool.envtool]`.

    :raises DeclarationError: there is none, or the file cannot be read.
    """
    start = os.path.abspath(start)
    if file is not None:
        path = os.path.abspath(os.path.join(start, file))
        return path, _kind(path)
    found = find_above(start)
    if found is None:
        raise DeclarationError(
            one_fault(start, "no envtool.toml or pyproject.toml here or in a folder above").faults,
            hint="envtool init",
        )
    return found


def find_above(start: str) -> tuple[str, Kind] | None:
    """Return path and kind of the declaration in an absolute folder or above; None: there is none.

    :raises DeclarationError: a file on the way cannot be read.
    """
    folder = start
    while True:
        path = os.path.join(folder, "envtool.toml")
        if os.path.lexists(path):
            return path, "envtool.toml"
        path = os.path.join(folder, "pyproject.toml")
        if os.path.lexists(path) and any(map(_names_us, _read_bytes(path).split(b"\n"))):
            return path, "pyproject.toml"
        if folder == os.path.dirname(folder):
            return None
        folder = os.path.dirname(folder)


def _names_us(line: bytes) -> bool:
    """Say whether a line of a pyproject.toml begins a table of the project's, or one of ours.

    Without reading it as TOML: this is done in every `envtool run`, in each folder on the way up.
    """
    words = line.lstrip(_BLANKS)
    words = words[1:].lstrip(_BLANKS) if words.startswith(b"[") else words
    if words.startswith(b"project"):
        return words[len(b"project") :].lstrip(_BLANKS).startswith((b"]", b".", b"="))
    words = words.removeprefix(b'"')
    if not words.startswith(b"tool"):
        return False
    words = words[len(b"tool") :].removeprefix(b'"').lstrip(_BLANKS)
    if not words.startswith(b"."):
        return False
    words = words[1:].lstrip(_BLANKS).removeprefix(b'"')
    after = words[len(b"envtool") :][:1]
    return words.startswith(b"envtool") and not (after.isalnum() or after in (b"_", b"-"))


def _kind(path: str) -> Kind:
    name = os.path.basename(path)
    extension = os.path.splitext(name)[1].lower()
    if name == "pyproject.toml":
        return "pyproject.toml"
    if extension == ".toml":
        return "envtool.toml"
    if extension == ".py":
        return "script"
    if extension == ".ipynb":
        from envtool.formats.declarations.notebook import kind_of

        return kind_of(read_text(path), file=path)
    if os.path.isdir(path):
        _refuse(path, IsADirectoryError(), one_fault)
    if not extension and os.path.exists(path) and _read_bytes(path).startswith(b"#!"):
        return "script"
    raise one_fault(path, "expected a .toml, a .py or an .ipynb file")


def read(path: str, kind: Kind, environment: str = "default") -> Declaration:
    """Return one environment of a file.

    :raises DeclarationError: the file cannot be read, or with all its faults.
    """
    from envtool.formats.declarations.reading import parse

    return parse(read_text(path), path=path, kind=kind, environment=environment)


def read_text(path: str) -> str:
    """Return a user's file as text, its line ends as they are.

    :raises DeclarationError: it is missing, not a file, not readable or not UTF-8.
    """
    content = _read_bytes(path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8: byte 0x{content[error.start]:02x}; save it as UTF-8"
        raise one_fault(path, message, line=line) from error


def _read_bytes(path: str) -> bytes:
    try:
        # Non-blocking: a FIFO of that name would otherwise wait for a writer forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return _read_regular(path, descriptor)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        _refuse(path, error, one_fault)


def _read_regular(path: str, descriptor: int) -> bytes:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError
    if not stat.S_ISREG(mode):
        raise one_fault(path, "not a regular file")
    with open(descriptor, "rb", closefd=False) as stream:
        return stream.read()


def _refuse(path: str, error: Exception, as_error: Callable[[str, str], EnvtoolError]) -> NoReturn:
    match error:
        case FileNotFoundError():
            reason = "no such file"
        case IsADirectoryError():
            reason = "a directory, not a file"
        case NotADirectoryError():
            reason = "no such file: a part of its path is not a directory"
        case PermissionError():
            reason = "not allowed to read it"
        case OSError():
            reason = error.strerror or str(error)
        case _:
            reason = str(error)
    raise as_error(path, reason) from error


def lock_path(path: str, kind: Kind, environment: str = "default") -> str | None:
    """Return where the lock of a declaration's environment lies; None inside the notebook.

    The names are PEP 751's: `pylock.toml`, `pylock.NAME.toml`, NAME without dots.
    """
    if kind in ("notebook-cell", "notebook-metadata"):
        return None
    folder, name = os.path.split(path)
    words = [os.path.splitext(name)[0]] if kind == "script" else []
    words += [environment] if environment != "default" else []
    if not words:
        return os.path.join(folder, "pylock.toml")
    from envtool.formats.declarations.declaration import lock_word

    return os.path.join(folder, f"pylock.{lock_word('-'.join(words))}.toml")


def lock_place(path: str, kind: Kind, environment: str = "default") -> str:
    """Return the file that holds the lock: its own, or the notebook."""
    return lock_path(path, kind, environment) or path


def read_lock_text(path: str, kind: Kind, environment: str = "default") -> str | None:
    """Return the lock's text; None when there is no lock yet.

    :raises LockError: the lock cannot be read.
    :raises DeclarationError: the notebook cannot be read.
    """
    lock = lock_path(path, kind, environment)
    if lock is None:
        from envtool.formats.declarations.notebook import lock_text

        return lock_text(read_text(path), file=path)
    if not os.path.lexists(lock):
        return None
    try:
        return read_text(lock)
    except DeclarationError as error:
        raise LockError(error.message, hint="envtool lock writes it anew") from error


def write_lock_text(path: str, kind: Kind, environment: str, text: str) -> str:
    """Put the lock beside its declaration or into its notebook; return the file written.

    Atomic: a reader sees the old lock or the new one.

    :raises LockError: the folder cannot be written.
    """
    lock = lock_path(path, kind, environment)
    if lock is None:
        from envtool.formats.declarations.editing.cells import with_lock

        text = with_lock(read_text(path), text, file=path)
    target = lock or path
    _replace(target, text, _lock_error)
    return target


def _lock_error(path: str, reason: str) -> LockError:
    return LockError(
        f"{path}: the lock cannot be written: {reason}",
        hint=f"make {os.path.dirname(path)} writable, or copy the project to where you may write",
    )


def replace_declaration(path: str, before: str, after: str) -> None:
    """Replace a declaration's text, unless somebody else wrote the file meanwhile.

    :raises DeclarationError: it is not `before` any more, or the folder cannot be written.
    """
    if read_text(path) != before:
        message = "changed by somebody else meanwhile; nothing was written"
        raise DeclarationError(one_fault(path, message).faults, hint="run the same command again")
    write_declaration(path, after)


def write_declaration(path: str, text: str) -> None:
    """Replace a declaration's file by the new text; atomic, its mode kept.

    :raises DeclarationError: the folder cannot be written.
    """
    _replace(path, text, _declaration_error)


def check_writable(path: str) -> None:
    """Check that a declaration can be replaced, before work is done for its sake.

    :raises DeclarationError: nobody lets us write in its folder.
    """
    folder = os.path.dirname(os.path.realpath(path))
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise _declaration_error(path, f"not allowed to write in {folder}")


def _declaration_error(path: str, reason: str) -> DeclarationError:
    fault = one_fault(path, f"cannot be written: {reason}")
    denied = reason.startswith("not allowed")
    return DeclarationError(fault.faults, hint="copy it to where you may write" if denied else None)


def _replace(path: str, text: str, as_error: Callable[[str, str], EnvtoolError]) -> None:
    from envtool.machine.replacing import replace_text  # who only reads does without

    replace_text(path, text, as_error)


def declaration_text(path: str, kind: Kind, *, text: str | None = None) -> str:
    """Return the part of the file that declares: all of a TOML file, the block of a script.

    `text` is the file's text where the caller has it. A change outside of this part, such as a
    notebook's outputs, is no change of the declaration. Empty when nothing is declared yet.

    :raises DeclarationError: the file cannot be read.
    """
    whole = read_text(path) if text is None else text
    if kind in ("envtool.toml", "pyproject.toml"):
        return whole
    if kind == "script":
        from envtool.formats.declarations.inline import find_block

        block = find_block(whole, file=path)
        return block.content if block else ""
    from envtool.formats.declarations.notebook import declaration_block, read_notebook

    block = declaration_block(whole, file=path)
    if block is not None:
        return block.content
    import json

    own = read_notebook(whole, file=path)["metadata"].get("envtool")
    if not isinstance(own, dict) or "declaration" not in own:
        return ""
    return json.dumps(own["declaration"], sort_keys=True)
