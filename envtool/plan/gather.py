"""Choose what an interpreter takes from a lock, and bring local and VCS sources into the store.

An editable project stays where it is; any other directory and any commit become a source object of
the store, so that a build sees nothing else.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping

from envtool.errors import BuildError, FetchError, LockError
from envtool.formats.lock import Artifact, Lock, LockedPackage, Vcs
from envtool.formats.nix.storepath import StorePath
from envtool.formats.selection import select
from envtool.machine.local import fingerprint
from envtool.machine.store import Store
from envtool.plan.derivations import store_name
from envtool.plan.instantiate import Selected
from envtool.sources.interpreter import Interpreter, marker_environment, tags
from envtool.values import replace, value

_LEFT_OUT = frozenset(
    {".git", ".hg", ".svn", ".venv", "__pycache__", ".tox", ".nox", "node_modules"}
)
"""Folders of a source tree that are nobody's source."""


def is_left_out(place: str) -> bool:
    """Say whether a path below a source tree does not belong to its sources."""
    return not _LEFT_OUT.isdisjoint(place.split("/"))


@value
class Gatherer:
    """Turns locked packages into selected ones, for one interpreter."""

    store: Store
    folder: str
    """Absolute folder that the lock's relative paths start from."""
    interpreter: Interpreter
    offline: bool

    def gather(self, lock: Lock) -> tuple[Selected, ...]:
        """Return what is to be joined; adds local and VCS sources to the store.

        :raises LockError: the lock has nothing for this interpreter, or a path is gone.
        :raises FetchError: a commit cannot be had.
        """
        builds = {build.package: build.packages for build in lock.builds}
        return tuple(
            self._selected(package, artifact, lock, builds)
            for package, artifact in self._select(lock)
        )

    def _select(self, lock: Lock) -> tuple[tuple[LockedPackage, Artifact | None], ...]:
        environment = marker_environment(self.interpreter)
        return select(lock, tags=tags(self.interpreter), marker_environment=environment)

    def _selected(
        self,
        package: LockedPackage,
        artifact: Artifact | None,
        lock: Lock,
        builds: Mapping[str, tuple[LockedPackage, ...]],
    ) -> Selected:
        if artifact is not None and artifact.path is not None:
            artifact = replace(artifact, path=self._existing(package, artifact.path))
        inheriting = package.name in lock.python.pins.inheriting
        selected = Selected(package, artifact, inheriting=inheriting)
        if artifact is not None and artifact.filename.endswith(".whl"):
            return selected
        tools = replace(lock, packages=builds.get(package.name, ()), builds=())
        requirements = tuple(Selected(each, wheel) for each, wheel in self._select(tools))
        selected = replace(selected, build_requirements=requirements)
        if package.directory is not None:
            project = self._existing(package, package.directory.path)
            if package.directory.editable:
                return replace(selected, project=project, fingerprint=fingerprint(project))
            return replace(selected, source=self._tree(package, project))
        if package.vcs is not None:
            return replace(selected, source=self._commit(package, package.vcs))
        return selected

    def _existing(self, package: LockedPackage, path: str) -> str:
        absolute = os.path.normpath(os.path.join(self.folder, path))
        if not os.path.exists(absolute):
            raise LockError(
                f"{package.name}: {absolute} is not there, but the lock takes it from there",
                hint="put it back, or change the declaration and run: envtool lock",
            )
        return absolute

    def _tree(self, package: LockedPackage, path: str) -> StorePath:
        return self.store.add_tree(
            path,
            store_name(f"{package.name}-source"),
            exclude=is_left_out,
        )

    def _commit(self, package: LockedPackage, vcs: Vcs) -> StorePath:
        """Return the source object of a commit, cloning it unless it is in the store."""
        key = hashlib.sha256(f"{vcs.url}@{vcs.commit_id}".encode()).hexdigest()
        memory = f"{self.store.settings.cache}/commits/{key}"
        known = _remembered(memory)
        if known is not None and self.store.is_valid(known):
            return known
        if self.offline:
            raise FetchError(
                f"{package.name}: commit {vcs.commit_id} is not in the store",
                hint="leave --offline",
            )
        clone = f"{memory}.{os.getpid()}"
        try:
            _clone(package, vcs, clone)
            path = self._tree(package, clone)
        finally:
            shutil.rmtree(clone, ignore_errors=True)
        with open(memory, "w", encoding="utf-8") as file:
            file.write(path)
        return path


def _remembered(memory: str) -> StorePath | None:
    try:
        with open(memory, encoding="utf-8") as file:
            return StorePath.parse(file.read())
    except FileNotFoundError:
        return None


def _clone(package: LockedPackage, vcs: Vcs, target: str) -> None:
    """Check out one commit; no hook runs and no submodule is followed."""
    if vcs.type != "git":
        raise BuildError(f"{package.name}: {vcs.type} repositories are not supported, git is")
    os.makedirs(target)
    fetch = ["fetch", "--quiet", "--depth", "1", "--", vcs.url, vcs.commit_id]
    for arguments in (
        ["init", "--quiet"],
        fetch,
        ["checkout", "--quiet", "--detach", "FETCH_HEAD"],
    ):
        _git(package, vcs, target, arguments)
    found = _git(package, vcs, target, ["rev-parse", "HEAD"])
    if found != vcs.commit_id:
        raise FetchError(f"{package.name}: {vcs.url} gave {found} instead of {vcs.commit_id}")


def _git(package: LockedPackage, vcs: Vcs, folder: str, arguments: list[str]) -> str:
    safe = ["-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never"]
    try:
        done = subprocess.run(
            ["git", *safe, *arguments],
            cwd=folder,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError as error:
        raise FetchError(
            f"{package.name}: git is not on PATH", hint="install git, or declare a wheel instead"
        ) from error
    except subprocess.CalledProcessError as error:
        raise FetchError(
            f"{package.name}: git cannot fetch {vcs.commit_id} of {vcs.url}: {error.stderr.strip()}"
        ) from error
    return done.stdout.strip()
