"""What the build back end of a source package needs (PEP 518), read without running its code."""

import io
import os
import subprocess
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence

from envtool.errors import ResolutionError
from envtool.formats.lock import Artifact, LockedPackage, Vcs
from envtool.machine.fetching.fetch import Fetcher
from envtool.plan.resolving.remembered import Remembered
from envtool.plan.resolving.uv import Runner

__all__ = ["BuildRequires"]

DEFAULT = ("setuptools>=40.8.0", "wheel")
"""What PEP 517 says of a project that does not say what it needs."""

_GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never")


class BuildRequires:
    """Reads build requirements of directories, repositories and sdists."""

    def __init__(
        self,
        *,
        folder: str,
        cache_dir: str,
        environ: Mapping[str, str],
        fetcher: Fetcher,
        remembered: Remembered,
        runner: Runner,
    ) -> None:
        self._folder = folder
        self._cache_dir = cache_dir
        self._environ = {**environ, "GIT_TERMINAL_PROMPT": "0"}
        self._fetcher = fetcher
        self._remembered = remembered
        self._runner = runner

    def of(self, package: LockedPackage) -> tuple[str, ...]:
        """Return the requirements (PEP 508), sorted.

        :raises ResolutionError: its source cannot be had, or its pyproject.toml is faulty.
        """
        if package.directory is not None:
            path = os.path.join(self._folder, package.directory.path, "pyproject.toml")
            requires = _requires(_read(path), path, editable=package.directory.editable)
        elif package.vcs is not None:
            requires = self._of_commit(package.name, package.vcs)
        else:
            artifact = package.archive or package.sdist
            assert artifact is not None
            requires = self._of_sdist(package.name, artifact)
        return tuple(sorted(set(requires)))

    def _of_sdist(self, name: str, artifact: Artifact) -> Sequence[str]:
        known = self._remembered.requires(artifact.sha256)
        if known is not None:
            return known
        with tempfile.TemporaryDirectory(prefix="sdist-", dir=self._cache_dir) as folder:
            path = os.path.join(folder, "sdist")
            url = artifact.url or f"file://{os.path.join(self._folder, artifact.path or '')}"
            self._fetcher.fetch(url, path, sha256=artifact.sha256, size=artifact.size)
            text = _member(path, f"{name} ({artifact.filename})")
        requires = _requires(text, artifact.filename, editable=False)
        self._remembered.keep_requires(artifact.sha256, requires)
        return requires

    def _of_commit(self, name: str, vcs: Vcs) -> Sequence[str]:
        key = f"{vcs.url}@{vcs.commit_id}#{vcs.subdirectory or ''}"
        known = self._remembered.requires(key)
        if known is not None:
            return known
        if vcs.type != "git":
            raise ResolutionError(f"{name} is in a {vcs.type} repository; only git is supported")
        with tempfile.TemporaryDirectory(prefix="git-", dir=self._cache_dir) as folder:
            self._git(name, folder, "init", "--quiet", "--bare", ".")
            self._fetch(name, folder, vcs)
            where = "/".join(filter(None, (vcs.subdirectory, "pyproject.toml")))
            # A folder of a bare repository has no work tree: nothing of the project is run.
            listed = self._git(name, folder, "ls-tree", vcs.commit_id, "--", where)
            found = f"{vcs.commit_id}:{where}"
            text = self._git(name, folder, "cat-file", "blob", found) if listed.strip() else None
        requires = _requires(text, f"{vcs.url} {where}", editable=False)
        self._remembered.keep_requires(key, requires)
        return requires

    def _fetch(self, name: str, folder: str, vcs: Vcs) -> None:
        fetch = ("fetch", "--quiet", "--no-recurse-submodules")
        try:
            self._git(name, folder, *fetch, "--depth=1", "--", vcs.url, vcs.commit_id)
        except ResolutionError:
            # Not every server gives a commit that no branch or tag points to.
            everything = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
            self._git(name, folder, *fetch, "--", vcs.url, *everything)

    def _git(self, name: str, folder: str, *arguments: str) -> str:
        try:
            done = self._runner((*_GIT, *arguments), self._environ, folder)
        except FileNotFoundError as error:
            raise ResolutionError(f"{name} is in a git repository, and there is no git") from error
        except subprocess.SubprocessError as error:
            raise ResolutionError(f"git failed for {name}: {error}") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise ResolutionError(f"git failed for {name}: {lines[-1]}")
        return done.stdout


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ResolutionError(f"{path} cannot be read: {error}") from error


def _member(path: str, shown: str) -> str | None:
    """Return the text of an sdist's top-level pyproject.toml; None when it has none."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = filter(_is_project_file, archive.namelist())
                content = next(map(archive.read, names), None)
        else:
            with tarfile.open(path) as archive:
                members = (each for each in archive if _is_project_file(each.name))
                stream = next(map(archive.extractfile, members), None)
                content = (stream or io.BytesIO()).read() if stream else None
        return None if content is None else content.decode()
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, UnicodeDecodeError) as error:
        raise ResolutionError(f"the sdist of {shown} cannot be read: {error}") from error


def _is_project_file(name: str) -> bool:
    return name.removeprefix("./").split("/")[1:] == ["pyproject.toml"]


def _requires(text: str | None, path: str, *, editable: bool) -> Sequence[str]:
    if text is None:
        return DEFAULT
    try:
        system = tomllib.loads(text).get("build-system")
    except tomllib.TOMLDecodeError as error:
        raise ResolutionError(f"{path} is not TOML: {error}") from error
    if system is None:
        return DEFAULT
    requires = system.get("requires") if isinstance(system, dict) else None
    if not isinstance(requires, list) or not all(isinstance(each, str) for each in requires):
        raise ResolutionError(f"{path}: build-system.requires is not a list of requirements")
    # Hatchling asks for it by a hook (PEP 660), and hooks are code of the project's choosing.
    if editable and str(system.get("build-backend", "")).startswith("hatchling"):
        return [*requires, "editables"]
    return requires
