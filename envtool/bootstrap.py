"""A bare clone that works: `python3 -m envtool` makes itself what it needs, once.

Standard library only, and nothing of envtool's: this runs before there is anything else. A virtual
environment `.venv` in the checkout gets envtool and its dependencies from the index that the
host's pip is set up for; a stamp says that it is complete and for which `pyproject.toml`. A
checkout that cannot be written, or whose `.venv` is someone else's, gets one in the user's cache.

A killed bootstrap leaves no stamp and is done again; two at once wait for each other.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import NoReturn

__all__ = ["CHECKOUT", "BootstrapError", "become", "ensure", "install"]

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXTRA = "jupyter"
"""What the README's first command needs beside the dependencies themselves."""
_MARK = "envtool-bootstrap"
"""File of a virtual environment that is ours; empty until the environment is complete."""
_VENV = ".venv"


class BootstrapError(Exception):
    """What is needed could not be made ready; the text says what to do."""


def become(words: Sequence[str], *, group: str = "") -> None:
    """Return if this Python can run envtool; else run `python WORDS…` in one that can, for good.

    `group` is a dependency group of pyproject.toml that is needed too. Prints its progress, and
    its errors, on stderr and exits with 1 or, interrupted, with 130.
    """
    if not os.path.exists(f"{CHECKOUT}/pyproject.toml") or _can_run(group):
        return
    try:
        venv = ensure(group=group)
    except BootstrapError as error:
        _say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        _say("interrupted; the same command begins anew")
        sys.exit(130)
    if os.path.realpath(sys.prefix) == os.path.realpath(venv):
        return
    _execute(f"{venv}/bin/python", words)


def ensure(*, group: str = "") -> str:
    """Return the path of a complete virtual environment for this checkout, made if need be.

    :raises BootstrapError: it cannot be made.
    """
    venv = _place()
    if _complete(venv, group):
        return venv
    os.makedirs(os.path.dirname(venv), exist_ok=True)
    with _alone(os.path.dirname(venv)) as lock:
        if not _complete(venv, group):
            _make(venv, group, lock)
    return venv


def install(python: str, words: Sequence[str], lock: int) -> None:
    """Let that Python's pip install what the words say, as the host's pip is set up.

    pip inherits the descriptor of the lock, so that it stays locked should we be killed meanwhile.

    :raises BootstrapError: with the last of pip's own words.
    """
    argv = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-user"]
    argv.append("--progress-bar=off" if sys.stderr.isatty() else "--quiet")
    code, output = _run([*argv, *words], lock)
    if code != 0:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        reasons = [line for line in lines if line.startswith(("ERROR:", "error:"))]
        told = "\n".join(f"  {line}" for line in (reasons or lines)[-8:])
        raise BootstrapError(
            "pip could not get what envtool needs; is there a network, and does "
            f"`python3 -m pip download rich` work here?\n{told}"
        )


def _can_run(group: str) -> bool:
    """Say whether envtool was installed into the Python that runs this, with its dependencies.

    The checkout itself does not count: it may lie on sys.path without them.
    """
    own = os.path.realpath(CHECKOUT)
    folders = [path for path in sys.path if path and os.path.realpath(path) != own]
    if not any(_has_envtool(folder) for folder in folders if os.path.isdir(folder)):
        return False
    if _is_ours(sys.prefix):
        return _complete(sys.prefix, group)
    return not group or all(find_spec(name) for name in ("mypy", "pytest", "ruff", "xdist"))


def _has_envtool(folder: str) -> bool:
    names = os.listdir(folder)
    return any(name.startswith("envtool-") and name.endswith(".dist-info") for name in names)


def _place() -> str:
    own = f"{CHECKOUT}/{_VENV}"
    if os.access(CHECKOUT, os.W_OK) and (not os.path.lexists(own) or _is_ours(own)):
        return own
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "envtool", f"checkout-{_digest([CHECKOUT])[:16]}", _VENV)


def _is_ours(venv: str) -> bool:
    # An empty folder is what a kill right after the first mkdir leaves.
    return os.path.exists(f"{venv}/{_MARK}") or (os.path.isdir(venv) and not os.listdir(venv))


def _complete(venv: str, group: str) -> bool:
    """Say whether everything that is asked for is there, for the pyproject.toml of now."""
    try:
        with open(f"{venv}/{_MARK}", encoding="utf-8") as file:
            stamp, *groups = file.read().split()
    except (OSError, ValueError):
        return False
    has_groups = not group or group in groups
    return stamp == _stamp() and has_groups and os.path.exists(f"{venv}/bin/python")


def _stamp() -> str:
    with open(f"{CHECKOUT}/pyproject.toml", encoding="utf-8") as file:
        return _digest([CHECKOUT, file.read()])


def _digest(texts: Iterable[str]) -> str:
    from hashlib import sha256

    return sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()


def _make(venv: str, group: str, lock: int) -> None:
    import shutil

    groups = {group, *_groups_of(venv)} - {""}
    missing = groups
    try:
        if _complete(venv, ""):
            missing = {group}
        else:
            _check_venv_module()
            _say(f"making {_shown(venv)} with what envtool needs (this happens once)")
            if os.path.lexists(venv):
                shutil.rmtree(venv)
            os.makedirs(venv)
            _write_mark(venv, "")
            _create(venv, lock)
            install(f"{venv}/bin/python", ["--editable", f"{_source(venv)}[{EXTRA}]"], lock)
        for name in sorted(missing):
            _say(f"adding the dependency group {name}")
            install(f"{venv}/bin/python", _group(name), lock)
        _write_mark(venv, " ".join([_stamp(), *sorted(groups)]))
    except OSError as error:
        raise BootstrapError(f"{error.filename or venv}: {error.strerror}") from error


def _create(venv: str, lock: int) -> None:
    """Make the virtual environment in a process of its own, for `venv` may be half there."""
    argv = [sys.executable, "-m", "venv", venv]
    code, output = _run(argv, lock)
    if code != 0:
        raise BootstrapError(f"{' '.join(argv)} failed:\n{output.strip()}")


def _run(argv: Sequence[str], lock: int) -> tuple[int, str]:
    """Return the exit code and all that was printed; on a terminal the present line is seen."""
    shows, printed = sys.stderr.isatty(), list[str]()
    with subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=[lock],
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                printed.append(line)
                if shows:
                    _show_passing(line.strip())
        except BaseException:
            process.kill()
            raise
        finally:
            if shows:
                _show_passing("")
    return process.returncode, "".join(printed)


def _show_passing(line: str) -> None:
    """Show a line that the next one takes the place of."""
    room = os.get_terminal_size(2).columns or 80
    shown = "".join(each for each in f"  {line}" if each.isprintable())[: room - 1]
    sys.stderr.write(f"\r\033[K{shown.rstrip()}")
    sys.stderr.flush()


def _groups_of(venv: str) -> list[str]:
    """Return the dependency groups that are, or were before pyproject.toml changed, there."""
    try:
        with open(f"{venv}/{_MARK}", encoding="utf-8") as file:
            return file.read().split()[1:]
    except OSError:
        return []


def _source(venv: str) -> str:
    """Return the project for pip: the checkout, or links to it where pip may not write there."""
    if os.access(CHECKOUT, os.W_OK):
        return CHECKOUT
    tree = f"{venv}/source"
    os.mkdir(tree)
    for name in ("LICENSE", "README.md", "envtool", "kernel", "magics", "pyproject.toml"):
        os.symlink(f"{CHECKOUT}/{name}", f"{tree}/{name}")
    return tree


def _group(name: str) -> list[str]:
    """Return the requirements of a dependency group; pip itself reads them only since 25.1."""
    import tomllib

    with open(f"{CHECKOUT}/pyproject.toml", "rb") as file:
        requirements: list[str] = tomllib.load(file)["dependency-groups"][name]
    return requirements


def _check_venv_module() -> None:
    feature = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.version_info < (3, 11):  # noqa: UP036 - a bare clone meets any Python
        raise BootstrapError(f"envtool needs Python 3.11 or later; {sys.executable} is {feature}")
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        raise BootstrapError(
            f"{sys.executable} lacks its venv module; on Debian and Ubuntu: "
            f"apt install python3-venv (or python{feature}-venv)"
        )


def _write_mark(venv: str, text: str) -> None:
    temporary = f"{venv}/{_MARK}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, f"{venv}/{_MARK}")


@contextmanager
def _alone(folder: str) -> Iterator[int]:
    """Hold the folder itself locked: no lock file to leave in a user's checkout."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another process that makes the same")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _execute(python: str, words: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(python, [python, *words])  # noqa: S606 - the same command, where it can run


def _shown(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _say(text: str) -> None:
    print(f"envtool: {text}", file=sys.stderr, flush=True)  # noqa: T201 - no face is there yet
