"""A user's file replaced as a whole: who reads it meanwhile has the old text or the new one."""

import os
import stat
from collections.abc import Callable

from envtool.errors import EnvtoolError

__all__ = ["replace_text"]


def replace_text(path: str, text: str, as_error: Callable[[str, str], EnvtoolError]) -> None:
    """Replace a file's text; atomic and on the disk, its mode kept.

    `as_error` makes the error of a path and the reason why it cannot be written.
    """
    # Through a symlink to the file it means, else the link would become a file of its own.
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    try:
        _replace(target, text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise as_error(path, "a lone surrogate cannot be written as UTF-8") from error
    except PermissionError as error:
        raise as_error(path, f"not allowed to write in {folder}") from error
    except FileNotFoundError as error:
        raise as_error(path, f"there is no folder {folder}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise as_error(path, f"{reason or error} ({folder})") from error


def _replace(target: str, content: bytes) -> None:
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with open(descriptor, "wb") as stream:
            _keep_mode(target, descriptor)
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _keep_mode(target: str, descriptor: int) -> None:
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return
    os.fchmod(descriptor, stat.S_IMODE(mode))


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
