"""Host interpreters: which there are, what each one is, and which wheels it can load.

A candidate is asked once, by running it (`-I -S -B`, so that nothing of a user's site, of a
virtual environment or of `PYTHON*` variables has a say), and its answer is kept in a file for as
long as the executable has the same size and time. Scripts that only look like interpreters
(shims) are passed over; a virtual environment stands for the interpreter it was made from.
"""

import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from envtool.errors import InterpreterError
from envtool.sources.probe import (
    Interpreter,
    Prober,
    is_program,
    running_program,
    split_version,
)
from envtool.values import value

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = ["Interpreter", "find", "marker_environment", "satisfies", "tags"]

EXPLICIT = "ENVTOOL_PYTHON"
"""The variable that names the interpreter to take; nothing else is looked at."""

_PROGRAM = r"python3(?:\.\d+)?t?d?"
_SYSTEM = ("/usr/bin", "/usr/local/bin")
_GLIBC = 2
"""The only major version of glibc there is."""
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""By glibc 2's minor version."""
_OLDEST_MINOR = {"x86_64": 5, "i686": 5}
"""glibc 2's minor version that manylinux begins with (PEP 600); elsewhere 17."""


@value
class _Wish:
    specifier: str | None
    prefer: str | None
    running: str

    def accepts(self, found: Interpreter) -> bool:
        return found.implementation == "cpython" and (
            self.specifier is None or satisfies(found.version, self.specifier)
        )

    def rank(self, found: Interpreter) -> tuple[bool, bool, bool, bool, tuple[int, ...]]:
        numbers, is_final = split_version(found.version)
        return (
            found.feature == self.prefer,
            found.abi == f"cp{found.feature.replace('.', '')}",
            is_final,
            found.executable == self.running,
            numbers,
        )

    def is_best(self, found: Interpreter) -> bool:
        """Return whether nothing that may still be found could be taken instead."""
        wanted = self.prefer or found.feature
        return self.accepts(found) and found.feature == wanted and all(self.rank(found)[1:4])


def find(
    specifier: str | None,
    *,
    prefer: str | None,
    environ: Mapping[str, str],
    cache_path: str | None = None,
    limit: float = 10.0,
) -> Interpreter:
    """Return the host's interpreter that satisfies a PEP 440 specifier (None is any).

    Taken is the one `$ENVTOOL_PYTHON` names, if it is set. Otherwise one of the feature release
    `prefer` (the lock's, such as `3.11`), then the one that runs envtool, then the newest;
    pre-releases, free-threaded and debug builds only when nothing else will do. Looked for in
    PATH, /usr/bin, /usr/local/bin, ~/.local/bin and below the folders of pyenv and uv.

    `cache_path` is a JSON file that keeps what interpreters answered; None keeps nothing. One
    that does not answer within `limit` seconds is killed and passed over.

    :raises InterpreterError: none satisfies; it lists those there are.
    """
    running = running_program()
    wish = _Wish(specifier or None, prefer, running)
    with Prober(environ, cache_path, limit) as prober:
        if explicit := environ.get(EXPLICIT):
            return _explicit(explicit, specifier, wish, prober, environ)
        first = prober.probe(running)
        if first is not None and wish.is_best(first):
            return first
        found = list(prober.probe_all([running, *_candidates(environ)]))
        fitting = [each for each in found if wish.accepts(each)]
        if not fitting:
            raise _none_fits(specifier, found, prober.failures)
        return max(fitting, key=wish.rank)


_SIMPLE = re.compile(r"\s*(==|>=|<=|<|>|!=)\s*(\d+(?:\.\d+)*)(\.\*)?\s*").fullmatch


def satisfies(version: str, specifier: str) -> bool:
    """Say whether a version satisfies a PEP 440 specifier; pre-releases count.

    The plain forms, which are nearly all, are judged here: `packaging` takes longer to import than
    an environment to compose. tests/sources/test_interpreter.py holds both equal.
    """
    numbers, is_final = split_version(version)
    clauses = [_SIMPLE(clause) for clause in specifier.split(",")]
    if is_final and all(each and (not each[3] or each[1] in {"==", "!="}) for each in clauses):
        return all(_clause(numbers, clause) for clause in clauses if clause)
    return _specifier(specifier).contains(version, prereleases=True)


def _clause(numbers: tuple[int, ...], clause: "re.Match[str]") -> bool:
    wanted = tuple(map(int, clause[2].split(".")))
    if clause[3]:
        padded = numbers + (0,) * (len(wanted) - len(numbers))
        return (padded[: len(wanted)] == wanted) is (clause[1] == "==")
    length = max(len(wanted), len(numbers))
    left, right = (each + (0,) * (length - len(each)) for each in (numbers, wanted))
    return bool(_COMPARED[clause[1]](left, right))


_COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def _specifier(text: str) -> "SpecifierSet":
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(text)
    except InvalidSpecifier as error:
        raise InterpreterError(
            f"`{text}` says no Python version: expected a specifier such as `>=3.11` or `==3.12.*`"
        ) from error


def _explicit(
    named: str, specifier: str | None, wish: _Wish, prober: Prober, environ: Mapping[str, str]
) -> Interpreter:
    from shutil import which

    hint = f"set {EXPLICIT} to the path of a Python, or unset it"
    path = which(os.path.expanduser(named), path=environ.get("PATH", os.defpath))
    if path is None:
        raise InterpreterError(f"{EXPLICIT} is {named}, which is no program", hint=hint)
    found = prober.probe(path)
    if found is None:
        reason = prober.failures.get(path, "is no Python")
        raise InterpreterError(f"{EXPLICIT} is {named}, which {reason}", hint=hint)
    if not wish.accepts(found):
        raise InterpreterError(
            f"{EXPLICIT} is {named}, which is {_shown(found)}; expected {_wanted(specifier)}",
            hint=hint,
        )
    return found


def _candidates(environ: Mapping[str, str]) -> Iterator[str]:
    """Return the real paths of programs that are named like a Python, each once."""
    seen = set()
    for folder in _folders(environ):
        for name in sorted(each for each in _listing(folder) if re.fullmatch(_PROGRAM, each)):
            path = os.path.realpath(os.path.join(folder, name))
            if path not in seen and is_program(path):
                seen.add(path)
                yield path


def _folders(environ: Mapping[str, str]) -> Iterator[str]:
    # An empty entry of PATH is the working folder, whose files nobody meant to run.
    yield from filter(os.path.isabs, environ.get("PATH", "").split(os.pathsep))
    yield from _SYSTEM
    home = environ.get("HOME", "")
    if home:
        yield os.path.join(home, ".local/bin")
    data = environ.get("XDG_DATA_HOME") or (home and os.path.join(home, ".local/share"))
    pyenv = environ.get("PYENV_ROOT") or (home and os.path.join(home, ".pyenv"))
    uv = environ.get("UV_PYTHON_INSTALL_DIR") or (data and os.path.join(data, "uv/python"))
    for versions in (pyenv and os.path.join(pyenv, "versions"), uv):
        if versions:
            yield from (os.path.join(versions, name, "bin") for name in _listing(versions))


def _listing(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []  # a folder of PATH that is not there, or not ours to read


def _wanted(specifier: str | None) -> str:
    return f"CPython {specifier}" if specifier else "CPython"


def _shown(found: Interpreter) -> str:
    kind = "" if found.implementation == "cpython" else f"{found.implementation} "
    return f"{kind}{found.version} ({found.executable})"


def _none_fits(
    specifier: str | None, found: Iterable[Interpreter], failures: Mapping[str, str]
) -> InterpreterError:
    listed = sorted(found, key=lambda each: split_version(each.version)[0], reverse=True)
    lines = [f"no interpreter is {_wanted(specifier)}; found:"]
    lines += [f"  {_shown(each)}" for each in listed] or ["  none"]
    lines += [f"  {path}: {reason}" for path, reason in failures.items()]
    feature = re.search(r"3\.\d+", specifier or "")
    wanted = feature[0] if feature else "3"
    return InterpreterError(
        "\n".join(lines),
        hint=f"uv python install {wanted}, set {EXPLICIT}=/path/to/python{wanted}, or have one of"
        ' envtool\'s own by `interpreter = "closed"` in the declaration',
    )


def tags(interpreter: Interpreter) -> tuple[str, ...]:
    """Return the compatibility tags of the wheels it can load, best first (PEP 425, 600)."""
    from packaging.tags import compatible_tags, cpython_tags

    major, minor = map(int, interpreter.feature.split("."))
    abis = [interpreter.abi]
    if interpreter.abi.endswith("d"):
        abis.append(interpreter.abi.removesuffix("d"))  # a debug build loads plain extensions too
    platforms = _platforms(interpreter)
    found = [
        *cpython_tags((major, minor), abis, platforms),
        *compatible_tags((major, minor), f"cp{major}{minor}", platforms),
    ]
    return tuple(dict.fromkeys(map(str, found)))


def _platforms(interpreter: Interpreter) -> Sequence[str]:
    machine = interpreter.machine
    platforms = [f"linux_{machine}"]
    if interpreter.glibc is None or interpreter.glibc[0] != _GLIBC:
        return platforms
    for minor in range(interpreter.glibc[1], _OLDEST_MINOR.get(machine, 17) - 1, -1):
        platforms.append(f"manylinux_2_{minor}_{machine}")
        if minor in _LEGACY:
            platforms.append(f"{_LEGACY[minor]}_{machine}")
    return platforms


def marker_environment(interpreter: Interpreter) -> dict[str, str]:
    """Return what the variables of environment markers are for it (PEP 508)."""
    host = os.uname()
    return {
        "implementation_name": interpreter.implementation,
        "implementation_version": interpreter.version,
        "os_name": "posix",
        "platform_machine": interpreter.machine,
        "platform_python_implementation": "CPython",
        "platform_release": host.release,
        "platform_system": "Linux",
        "platform_version": host.version,
        "python_full_version": interpreter.version,
        "python_version": interpreter.feature,
        "sys_platform": "linux",
    }
