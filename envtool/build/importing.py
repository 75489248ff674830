"""Import modules in an environment to see whether they can be: a process for each, with a limit.

Where the machine gives a sandbox, an interpreter of our own does it in a root that holds nothing
but the store: what is missing there is missing everywhere.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from envtool.build.layout import INDEX, SITE
from envtool.machine.isolating import sandbox
from envtool.machine.isolating.sandbox import Sandbox, View
from envtool.reporting import Reporter, Step
from envtool.values import value

__all__ = ["Attempt", "Importer", "modules"]

_MARK = "\x1eenvtool-import "
_CODE = f"""
import importlib, json, os, signal, sys
signal.alarm(int(sys.argv[2]))
try:
    importlib.import_module(sys.argv[1])
except BaseException as error:
    wants = error.name if isinstance(error, ModuleNotFoundError) else None
    said = {{"kind": type(error).__name__, "text": str(error), "wants": wants}}
    print("\\n" + {_MARK!r} + json.dumps(said), flush=True)
    os._exit(1)
os._exit(0)
"""
"""Ends at once either way: threads and exit functions of a module are not what is tried."""
_CLUTTER = frozenset({"test", "tests", "doc", "docs", "example", "examples", "benchmarks"})
_MODULE = re.compile(r"([A-Za-z]\w*)(?:\.py|(?:\.[\w-]+)?\.so)$").match
_DEEPEST = 3
"""Names of a namespace package that are looked through."""
_LIBRARY = re.compile(r"(lib[^\s:/'\"]+\.so(?:\.\d+)*): cannot open shared object file").search
_BROKEN = re.compile(r"/(lib[^\s:/]+\.so(?:\.\d+)*): version `([^']+)' not found").search
_SIGNALLED = 128


@value
class Attempt:
    """A module, and how its import went."""

    package: str
    module: str
    error: str | None
    """One line; None when it was imported."""
    soname: str | None = None
    """The library that could not be opened, or is too old, if that was it."""
    wants: str | None = None
    """The module that was not found, if that was it."""


def modules(folder: str) -> tuple[str, ...]:
    """Return the top-level modules of an unpacked wheel that are for its users; sorted.

    Of a namespace package (PEP 420), such as `google`, those that it holds. Names that begin with
    an underscore are private, and tests no users' affair.
    """
    with open(f"{folder}/{INDEX}", "rb") as file:
        index = json.load(file)
    site = f"{folder}/{SITE}"
    found = {found[1] for name in index["files"] if (found := _MODULE(name))}
    for name in index["folders"]:
        if _is_public(name):
            found.update(_packages(f"{site}/{name}", name))
    return tuple(sorted(found))


def _packages(folder: str, name: str) -> Iterator[str]:
    names = sorted(os.listdir(folder))
    if any(each.startswith("__init__.") for each in names):
        yield name
        return
    for each in names:
        if found := _MODULE(each):
            yield f"{name}.{found[1]}"
        elif _is_public(each) and name.count(".") < _DEEPEST and os.path.isdir(f"{folder}/{each}"):
            yield from _packages(f"{folder}/{each}", f"{name}.{each}")


def _is_public(name: str) -> bool:
    return name.isidentifier() and not name.startswith("_") and name not in _CLUTTER


@value
class Importer:
    """Imports modules in one environment."""

    python: str
    """The environment's own program."""
    environment: Mapping[str, str]
    """All variables that there are."""
    limit: int
    """Seconds that an import may take; at least 1."""
    bwrap: str | None = None
    """What makes the empty root (`machine.isolating.sandbox`); None: the host's own root."""
    views: tuple[View, ...] = ()
    """What is in the empty root."""

    def try_all(
        self, wanted: Sequence[tuple[str, str]], reporter: Reporter, *, jobs: int
    ) -> tuple[Attempt, ...]:
        """Return how it went for each package and module, in this order."""
        reporter.expect("import", len(wanted), None)

        def attempt(each: tuple[str, str]) -> Attempt:
            step = Step("import", each[1])
            reporter.start(step)
            made = self.attempt(*each)
            reporter.finish(step)
            return made

        with ThreadPoolExecutor(jobs, "import") as pool:
            return tuple(pool.map(attempt, wanted))

    def attempt(self, package: str, module: str) -> Attempt:
        """Import a module in a process of its own."""
        words = [self.python, "-c", _CODE, module, str(self.limit)]
        with tempfile.TemporaryFile() as output:
            code = self._run(words, output)
            output.seek(0)
            text = output.read().decode(errors="replace")
        if code == 0:
            return Attempt(package, module, None)
        return _failed(package, module, code, text, self.limit)

    def _run(self, words: Sequence[str], output: IO[bytes]) -> int:
        if self.bwrap is not None:
            # No folder of the sandbox is writable but /tmp.
            inside = Sandbox(self.views, {**self.environment, "HOME": "/tmp"}, "/tmp")  # noqa: S108
            return sandbox.run(self.bwrap, inside, words, output=output)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                words,
                cwd=folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return done.returncode if done.returncode >= 0 else _SIGNALLED - done.returncode


def _failed(package: str, module: str, code: int, text: str, limit: int) -> Attempt:
    _, mark, told = text.rpartition(_MARK)
    if mark:
        said = json.loads(told.partition("\n")[0])
        lines = said["text"].strip().splitlines()
        error = f"{said['kind']}: {lines[0]}" if lines else said["kind"]
        return Attempt(package, module, error, _soname(said["text"]), said["wants"])
    if code == _SIGNALLED + signal.SIGALRM:
        return Attempt(package, module, f"not imported within {limit} s")
    if code > _SIGNALLED:
        return Attempt(package, module, f"killed by {_signal(code - _SIGNALLED)}")
    last = (text.strip().splitlines() or [f"exit code {code}"])[-1]
    return Attempt(package, module, last, _soname(text))


def _soname(text: str) -> str | None:
    found = _LIBRARY(text) or _BROKEN(text)
    return found[1] if found else None


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
