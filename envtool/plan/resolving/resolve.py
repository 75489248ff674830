"""From a declaration to a lock, by uv: the one step whose answer may be another one tomorrow.

The lock is for one feature release of Python and one kind of machine, but for no single host:
it holds the wheels for every glibc, and which of them fits is decided when they are chosen
(`envtool.formats.lock.select`).

No code of anyone's is run to resolve (`--no-build`), with one exception: when what a project of
the declaration's own (a path, a repository, a name in `sdists`) requires is known only by
running its build back end, uv asks again with building allowed.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from envtool.errors import LockError, ResolutionError
from envtool.formats.declarations.declaration import Declaration
from envtool.formats.declarations.requirement import Parts, normalised, parts_of
from envtool.formats.lock import (
    Artifact,
    BuildRequirements,
    Directory,
    Lock,
    LockedPackage,
    LockedPython,
    Pins,
    parse,
    render,
)
from envtool.formats.locked import is_source
from envtool.machine.fetching.index import configured_index
from envtool.plan.resolving.explain import NeedsBuildError, allowing
from envtool.plan.resolving.uv import Answer, Question, Runner, Uv, dependencies, run
from envtool.sources.interpreter import Interpreter
from envtool.sources.probe import running_program
from envtool.values import replace, value

if TYPE_CHECKING:
    from envtool.plan.resolving.build_requirements import BuildRequires

__all__ = ["resolve", "target_platform"]

KERNEL = "ipykernel"
_TIMEOUT = 30.0
_RETRIES = 3
_NONE = Pins()
_PLATFORMS = {
    "x86_64": "x86_64-manylinux_2_40",
    "aarch64": "aarch64-manylinux_2_40",
    "riscv64": "riscv64-unknown-linux",
}
"""uv's names of the targets; the newest glibc it knows, so that the host's does not matter."""


def resolve(
    declaration: Declaration,
    *,
    digest: str,
    interpreter: Interpreter,
    pins: Pins = _NONE,
    previous: Lock | None = None,
    preferences: str | None = None,
    upgrade: bool | Sequence[str] = False,
    exclude_newer: str | None = None,
    offline: bool = False,
    index: str | None = None,
    cache_dir: str,
    environ: Mapping[str, str] | None = None,
    runner: Runner = run,
    timeout: float | None = None,
    retries: int | None = None,
) -> Lock:
    """Return the lock that answers a declaration.

    Versions of `previous` are kept where they still satisfy, except for the names in `upgrade`
    (True is all); of a lock that builds nothing the text will do (`preferences`). `exclude_newer`
    goes before the declaration's own; where `upgrade` names packages it holds for these alone.
    `pins` is what the interpreter is made of, if it is one of our own; it need not be realised. The
    declaration's index goes before `index`, and both before what the host is set up for. `timeout`
    (seconds of silence) and `retries` are uv's defaults when None, `environ` is this process's own.
    `cache_dir` is absolute; everything in it can be made again, and the lock does not depend
    on it.

    :raises ResolutionError: no set of versions satisfies, the index did not answer, or a package
        would have to be built that the declaration does not allow to be.
    """
    environ = os.environ if environ is None else environ
    chosen_index = declaration.index or index or configured_index(environ)
    tool = Uv(cache_dir, environ, chosen_index, offline, timeout, retries, runner)
    names = [] if isinstance(upgrade, bool) else upgrade
    alone = exclude_newer if names else None
    wish = _Wish(
        declaration,
        tool,
        LockedPython(
            interpreter.feature,
            "cpython",
            target_platform(interpreter),
            pins,
        ),
        running_program() if pins.packages else interpreter.executable,
        upgrade,
        declaration.exclude_newer if alone else exclude_newer or declaration.exclude_newer,
        [(normalised(name), alone) for name in names] if alone else (),
        digest,
    )
    packages = wish.packages(previous, preferences)
    if any(map(is_source, packages)) or any(each.size is None for each in _wheels(packages)):
        return _completed(wish, packages, previous, offline=offline)
    return Lock(wish.python, tuple(packages), (), digest)


def _wheels(packages: Iterable[LockedPackage]) -> Iterator[Artifact]:
    for package in packages:
        yield from package.wheels
        if package.archive is not None:
            yield package.archive


def _completed(
    wish: "_Wish", packages: Sequence[LockedPackage], previous: Lock | None, *, offline: bool
) -> Lock:
    """Return the lock with what uv does not say: sizes, and what builds need."""
    # What fetches and opens archives takes as long to import as uv takes to answer.
    from envtool.machine.fetching.fetch import Fetcher
    from envtool.plan.resolving.build_requirements import BuildRequires
    from envtool.plan.resolving.remembered import Remembered
    from envtool.plan.resolving.sizes import artifacts, learn, with_sizes

    tool = wish.tool
    timeout = tool.timeout or _TIMEOUT
    fetcher = Fetcher(
        offline=offline,
        timeout=timeout,
        retries=_RETRIES if tool.retries is None else tool.retries,
    )
    with fetcher, Remembered(os.path.join(tool.cache_dir, "artifacts.json")) as remembered:
        sources = BuildRequires(
            folder=wish.folder,
            cache_dir=tool.cache_dir,
            environ=tool.environ,
            fetcher=fetcher,
            remembered=remembered,
            runner=tool.runner,
        )
        builds = wish.builds(packages, sources, previous)
        everything = [*packages, *(package for build in builds for package in build.packages)]
        if not offline:
            learn(artifacts(everything), remembered, timeout=timeout)
        packages = [with_sizes(package, remembered) for package in packages]
        builds = [
            replace(build, packages=tuple(with_sizes(each, remembered) for each in build.packages))
            for build in builds
        ]
    return Lock(wish.python, tuple(packages), tuple(builds), wish.digest)


def target_platform(interpreter: Interpreter) -> str:
    """Return uv's name of the platform an interpreter's locks are for.

    :raises ResolutionError: there are no locks for it.
    """
    platform = _PLATFORMS.get(interpreter.machine)
    if platform is None or interpreter.glibc is None:
        libc = "" if interpreter.glibc else " without glibc"
        raise ResolutionError(
            f"{interpreter.executable} is for {interpreter.machine}{libc}; "
            f"envtool locks for {', '.join(sorted(_PLATFORMS))} with glibc"
        )
    return platform


@value
class _Wish:
    declaration: Declaration
    tool: Uv
    python: LockedPython
    executable: str
    upgrade: bool | Sequence[str]
    exclude_newer: str | None
    exclude_newer_of: Sequence[tuple[str, str]]
    digest: str

    @property
    def folder(self) -> str:
        return os.path.dirname(self.declaration.path)

    def packages(self, previous: Lock | None, preferences: str | None) -> list[LockedPackage]:
        requirements = [parts_of(text) for text in self.declaration.requirements]
        names = {requirement.name for requirement in requirements}
        lines = [self._line(requirement) for requirement in requirements]
        if self.declaration.kernel is not None and KERNEL not in names:
            lines.append(KERNEL)
        question = self._question(lines, previous)
        if previous is None:
            question = replace(question, preferences=preferences)
        found = self._read(self._ask(question, requirements), self.declaration.sdists)
        self._check_sdists(found)
        return [replace(package, direct=package.name in names) for package in found]

    def builds(
        self, packages: Sequence[LockedPackage], sources: "BuildRequires", previous: Lock | None
    ) -> list[BuildRequirements]:
        before = {build.package: build for build in previous.builds} if previous else {}
        answers: dict[tuple[str, ...], tuple[LockedPackage, ...]] = {}
        found = []
        for package in filter(is_source, packages):
            requires = sources.of(package)
            if requires not in answers:
                old = before.get(package.name)
                kept = replace(previous, packages=old.packages) if previous and old else None
                answer = self.tool.ask(self._question(requires, kept)) if requires else None
                answers[requires] = tuple(self._read(answer, ()) if answer else ())
            found.append(BuildRequirements(package.name, answers[requires]))
        return found

    def _question(self, lines: Sequence[str], previous: Lock | None) -> Question:
        return Question(
            requirements=sorted(lines),
            python=self.python.version,
            platform=self.python.platform,
            executable=self.executable,
            preferences=render(previous) if previous else None,
            upgrade=self.upgrade,
            exclude_newer=self.exclude_newer,
            exclude_newer_of=self.exclude_newer_of,
        )

    def _ask(self, question: Question, requirements: Sequence[Parts]) -> Answer:
        own = {name for name, _ in self.declaration.sources} | set(self.declaration.sdists)
        own |= {each.name for each in requirements if each.url}
        others = sorted({each.name for each in requirements} - own)
        building = replace(question, may_build=True, never_build=others)
        try:
            answer = self.tool.ask(question)
        except NeedsBuildError as error:
            if own.isdisjoint(error.names):
                raise
            return self.tool.ask(building)
        if not self.declaration.sdists:
            return answer
        # With --no-build uv leaves out the sdists of packages that have wheels. The versions are
        # settled, all of them have wheels, so that nothing is built by asking again.
        return self.tool.ask(replace(building, preferences=answer.pylock, upgrade=False))

    def _line(self, requirement: Parts) -> str:
        """Return the line of a requirements file; a path of the declaration's becomes a URL."""
        source = dict(self.declaration.sources).get(requirement.name)
        if source is None:
            return requirement.text
        path = os.path.normpath(os.path.join(self.folder, source.path))
        if not os.path.exists(path):
            raise ResolutionError(
                f"{requirement.name} is to come from {source.path}, where there is nothing",
                hint=f"correct the path of {requirement.name} in {self.declaration.path}",
            )
        url = f"file://{quote(path)}"
        extras = f"[{','.join(requirement.extras)}]" if requirement.extras else ""
        marker = f" ; {requirement.marker}" if requirement.marker else ""
        if source.editable:
            return f"-e {url}{extras}{marker}"
        return f"{requirement.name}{extras} @ {url}{marker}"

    def _read(self, answer: Answer, sdists: Sequence[str]) -> list[LockedPackage]:
        try:
            found = parse(answer.pylock, path="uv's answer").packages
        except LockError as error:
            raise ResolutionError(
                f"the index does not tell what a lock needs:\n{error.message}",
                hint="use an index that gives SHA-256 of its files",
            ) from error
        directories = {
            os.path.normpath(package.directory.path): package.name
            for package in found
            if package.directory
        }
        required = dependencies(answer.annotated, directories)
        return [
            self._located(
                replace(
                    package,
                    sdist=package.sdist if not package.wheels or package.name in sdists else None,
                    dependencies=tuple(sorted(required.get(package.name, ()))),
                )
            )
            for package in found
        ]

    def _located(self, package: LockedPackage) -> LockedPackage:
        """Return the package with its paths seen from the lock and no credentials in its URLs."""
        directory, vcs = package.directory, package.vcs
        return replace(
            package,
            wheels=tuple(map(self._artifact, package.wheels)),
            sdist=package.sdist and self._artifact(package.sdist),
            archive=package.archive and self._artifact(package.archive),
            directory=directory and Directory(self._path(directory.path), directory.editable),
            vcs=vcs and replace(vcs, url=_without_credentials(vcs.url)),
        )

    def _artifact(self, artifact: Artifact) -> Artifact:
        if artifact.url is not None:
            return replace(artifact, url=_without_credentials(artifact.url))
        return replace(artifact, path=self._path(artifact.path or ""))

    def _path(self, path: str) -> str:
        """Return a path of uv's (absolute) as the declaration has it, or else from its folder."""
        for _, source in self.declaration.sources:
            if os.path.normpath(os.path.join(self.folder, source.path)) == os.path.normpath(path):
                return source.path
        inside = os.path.relpath(path, self.folder)
        return path if inside.startswith("..") else inside

    def _check_sdists(self, packages: Sequence[LockedPackage]) -> None:
        built = [package.name for package in packages if package.sdist and not package.wheels]
        if names := sorted(set(built) - set(self.declaration.sdists)):
            raise ResolutionError(
                f"{', '.join(names)}: only an sdist, which must be built by running its code",
                hint=allowing(names),
            )


def _without_credentials(url: str) -> str:
    """Return the URL without user and password; the user of an ssh URL is no secret."""
    parts = urlsplit(url)
    if "@" not in parts.netloc or (parts.scheme.endswith("ssh") and parts.password is None):
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
