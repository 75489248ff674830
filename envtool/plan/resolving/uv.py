"""Running uv: requirements in, a pylock and the reasons of each package out.

uv is called twice for one answer, because its pylock does not say which package requires which:
once for the lock, and once, offline and with the versions found, for the requirements format,
whose annotations do. Where there is a former lock, both are asked at once, on the guess that
little changes. uv sees none of the project's own settings (a file with options could
change the answer unseen) and of its variables only those that say how to reach an index.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from functools import cache
from threading import Thread
from typing import Self
from urllib.parse import unquote

import uv

from envtool.errors import ResolutionError
from envtool.machine.disk import disk_errors
from envtool.plan.resolving.explain import explain
from envtool.values import value

__all__ = ["Answer", "Question", "Runner", "Uv", "run"]

Runner = Callable[[Sequence[str], Mapping[str, str], str], "subprocess.CompletedProcess[str]"]
"""Runs a program to its end: arguments, environment and working folder."""

_REACHING_AN_INDEX = re.compile(
    r"UV_(?:INDEX.*|DEFAULT_INDEX|EXTRA_INDEX_URL|FIND_LINKS|INSECURE_HOST|KEYRING_PROVIDER"
    r"|HTTP_.*|REQUEST_TIMEOUT|NATIVE_TLS|SYSTEM_CERTS|CONCURRENT_.*|CREDENTIALS_DIR)"
).fullmatch
_UNHEEDED = re.compile(r"UV_.*|PYTHON.*|VIRTUAL_ENV|CONDA_.*|.*FORCE_COLOR").fullmatch


def run(
    arguments: Sequence[str], environ: Mapping[str, str], folder: str
) -> "subprocess.CompletedProcess[str]":
    """Run a program with nothing on its standard input; an interrupt here kills it."""
    return subprocess.run(
        arguments,
        env=environ,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


@value
class Question:
    """What is to be resolved."""

    requirements: Sequence[str]
    """Lines of a requirements file."""
    python: str
    """Feature release, `3.11`."""
    platform: str
    """uv's name of the target."""
    executable: str
    """Any interpreter; it is asked nothing that the answer depends on."""
    preferences: str | None = None
    """A pylock whose versions are kept where they can be."""
    upgrade: bool | Sequence[str] = False
    """Names of which the preferences do not count; True is all."""
    exclude_newer: str | None = None
    exclude_newer_of: Sequence[tuple[str, str]] = ()
    """The same for single packages: name and time."""
    may_build: bool = False
    """Whether metadata may be had by running a project's or sdist's own code."""
    never_build: Sequence[str] = ()
    """Names that are excepted from `may_build`."""


@value
class Answer:
    """What uv found."""

    pylock: str
    annotated: str
    """The same in the requirements format, each package with what requires it."""


@value
class Uv:
    """uv, set up for one index and one cache."""

    cache_dir: str
    """Absolute; uv's own cache is a folder in it."""
    environ: Mapping[str, str]
    index: str | None = None
    """None leaves it to uv's own configuration."""
    offline: bool = False
    timeout: float | None = None
    """Longest silence of an index in seconds; None is uv's default."""
    retries: int | None = None
    """Tries after the first; None is uv's default."""
    runner: Runner = field(default=run)

    def ask(self, question: Question) -> Answer:
        """Return uv's answer.

        :raises ResolutionError: there is none; it says why in our words and uv's.
        :raises StoreError: the cache cannot be written.
        """
        with disk_errors("make a folder for the resolution"), _folder(self.cache_dir) as folder:
            _write(folder, "r.in", "".join(f"{line}\n" for line in question.requirements))
            _write(folder, "uv.toml", "")  # ends uv's search for settings in the folders above
            with _Guess(self, question, folder) as guess:
                pylock = self._pylock(question, folder)
            annotated = guess.annotated(pylock)
            return Answer(pylock, annotated or self._annotated(question, pylock, folder))

    def index_url(self) -> str | None:
        """Return the index that is asked, which may be uv's own default; None if it does not say.

        :raises StoreError: the cache cannot be written.
        """
        if self.index is not None:
            return self.index
        with disk_errors("ask uv for its index"), _folder(self.cache_dir) as folder:
            _write(folder, "uv.toml", "")
            _write(folder, "r.in", "")
            command = [_program(), "pip", "compile", "r.in", "--quiet", "--emit-index-url"]
            done = self.runner(command, self._environ(), folder)
        found = re.search(r"^--index-url (\S+)$", done.stdout, re.MULTILINE)
        return found and found[1]

    def _pylock(self, question: Question, folder: str) -> str:
        options = ["--format", "pylock.toml", "-o", "pylock.toml"]
        if question.upgrade is True:
            options.append("--upgrade")
        elif question.preferences is not None:
            _write(folder, "pylock.toml", question.preferences)
        if question.upgrade and question.upgrade is not True:
            options += [f"--upgrade-package={name}" for name in question.upgrade]
        self._compile(question, options, folder, offline=self.offline)
        return _read(folder, "pylock.toml")

    def _annotated(self, question: Question, pylock: str, folder: str) -> str:
        try:
            return self.annotate(question, pylock, folder, "graph.txt", offline=True)
        except ResolutionError:
            # An index may forbid its answers to be kept (Cache-Control: no-store).
            if self.offline:
                raise
            return self.annotate(question, pylock, folder, "graph.txt", offline=False)

    def annotate(
        self, question: Question, pylock: str, folder: str, name: str, *, offline: bool
    ) -> str:
        """Return the annotated requirements, by way of a file of this name in the folder.

        Versions of the pylock are kept where they can be.
        """
        options = ["--format", "requirements.txt", "--annotation-style", "line", "-o", name]
        _write(folder, name, _pins(pylock))
        self._compile(question, options, folder, offline=offline)
        return _read(folder, name)

    def _compile(
        self, question: Question, options: Sequence[str], folder: str, *, offline: bool
    ) -> None:
        command = [_program(), "pip", "compile", "r.in", "--quiet", "--no-header", *options]
        command += ["--python", question.executable, "--python-version", question.python]
        command += ["--python-platform", question.platform]
        if self.index is not None:
            command += ["--default-index", self.index]
        if question.exclude_newer is not None:
            command += [f"--exclude-newer={question.exclude_newer}"]
        command += [
            f"--exclude-newer-package={name}={when}" for name, when in question.exclude_newer_of
        ]
        if not question.may_build:
            command.append("--no-build")
        else:
            command += [f"--only-binary={name}" for name in question.never_build]
        if offline:
            command.append("--offline")
        done = self.runner(command, self._environ(), folder)
        if done.returncode != 0:
            raise explain(done.stderr, index=self.index)

    def _environ(self) -> dict[str, str]:
        environ = {
            name: value
            for name, value in self.environ.items()
            if _REACHING_AN_INDEX(name) or not _UNHEEDED(name)
        }
        if environ.keys().isdisjoint({"UV_SYSTEM_CERTS", "UV_NATIVE_TLS"}):
            # What we fetch ourselves is trusted by the host's certificates, not by uv's own.
            environ["UV_SYSTEM_CERTS"] = "1"
        environ |= {
            "UV_CACHE_DIR": os.path.join(self.cache_dir, "uv"),
            "UV_PYTHON_DOWNLOADS": "never",
            "NO_COLOR": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }
        if self.timeout is not None:
            environ["UV_HTTP_TIMEOUT"] = f"{self.timeout:g}"
        if self.retries is not None:
            environ["UV_HTTP_RETRIES"] = str(self.retries)
        return environ


class _Guess:
    """The second question, asked beside the first one on the guess that few versions change."""

    def __init__(self, tool: Uv, question: Question, folder: str) -> None:
        self._tool = tool
        self._question = question
        self._folder = folder
        self._found: str | None = None
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        if self._question.preferences is not None and not self._question.upgrade:
            _program()  # what it asks of `sysconfig` must not be asked by two threads at first
            self._thread = Thread(target=self._ask, args=(self._question.preferences,))
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.join()

    def annotated(self, pylock: str) -> str | None:
        """Return the answer, if it has the versions of the pylock."""
        if self._found is None:
            return None
        lines = (line.split()[0] for line in self._found.splitlines() if "==" in line)
        return self._found if sorted(lines) == sorted(_pins(pylock).splitlines()) else None

    def _ask(self, preferences: str) -> None:
        with suppress(ResolutionError, OSError):
            self._found = self._tool.annotate(
                self._question, preferences, self._folder, "guess.txt", offline=True
            )


def _folder(cache_dir: str) -> "tempfile.TemporaryDirectory[str]":
    os.makedirs(cache_dir, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="resolve-", dir=cache_dir)


@cache
def _program() -> str:
    try:
        return os.fsdecode(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise ResolutionError(
            "uv, which resolves requirements, is not where its package should have put it",
            hint="python3 -m pip install --force-reinstall uv",
        ) from error


def _write(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def _read(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


def _pins(pylock: str) -> str:
    found = re.findall(r'^name = "(.+)"\nversion = "(.+)"$', pylock, re.MULTILINE)
    return "".join(f"{name}=={version}\n" for name, version in found)


def dependencies(annotated: str, directories: Mapping[str, str]) -> dict[str, set[str]]:
    """Return which names each package requires, from uv's annotated requirements.

    `directories` gives the name of the project at each absolute path; uv writes its path only.
    """
    required: dict[str, set[str]] = {}
    for line in annotated.splitlines():
        left, marked, reasons = line.partition("# via ")
        name = _name(left, directories)
        if not marked or name is None:
            continue
        for reason in reasons.split(", "):
            if not reason.startswith("-r "):
                required.setdefault(reason.split()[0], set()).add(name)
    return required


def _name(left: str, directories: Mapping[str, str]) -> str | None:
    spec = left.partition(" ;")[0].removeprefix("-e ").strip()
    path = unquote(spec.removeprefix("file://")) if spec.startswith("file://") else spec
    if os.path.isabs(path):
        return directories.get(os.path.normpath(path))
    found = re.match(r"[A-Za-z0-9._-]+", spec)
    return found and found[0]
